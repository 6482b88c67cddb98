"""Which release of the time zone data this machine reads."""

from __future__ import annotations

import os
import zoneinfo

_SIZE_MAX = 100


def zone_data_release() -> str:
    """The release, such as `2025b`; `unknown` where the system's data does not say.

    zoneinfo reads the system's data where there is some, else that of the package tzdata.
    """
    for folder in zoneinfo.TZPATH:
        if os.path.exists(os.path.join(folder, "UTC")):
            return _release_in(folder) or "unknown"
    import tzdata

    release: str = tzdata.IANA_VERSION
    return release


def _release_in(folder: str) -> str:
    """From the first line of `tzdata.zi`, `# version 2025b`, or from `+VERSION`, which holds nothing else."""
    for name, before in (("tzdata.zi", "# version "), ("+VERSION", "")):
        try:
            with open(os.path.join(folder, name), encoding="ascii", errors="replace") as file:
                line = file.readline(_SIZE_MAX).strip()
        except OSError:
            continue
        if line.startswith(before):
            return line.removeprefix(before)
    return ""
