"""Folders that are removed whatever the user's code has made of them."""

from __future__ import annotations

import os
from collections.abc import Callable


def remove_folder(path: str) -> None:
    """Remove the folder with all that is in it.

    What can't be removed stays: the attempt's outcome is worth more than tidiness, and whoever starts next in
    the folder above tries again.
    """
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return  # the user's code has
    except OSError:
        import shutil  # only where something was left in it

        shutil.rmtree(path, onerror=_open_up)


def _open_up(remove: Callable[..., object], path: str, reason: object) -> None:
    """A folder without write permission keeps what is in it: give it back, and try once more."""
    try:
        os.chmod(os.path.dirname(path), 0o700, follow_symlinks=False)
        if os.path.isdir(path) and not os.path.islink(path):
            os.chmod(path, 0o700)
            remove_folder(path)
        else:
            os.unlink(path)
    except (OSError, NotImplementedError, RecursionError):
        return
