"""What of an environment says how stores of objects are reached, and as whom: for buckets, and not for stages."""

from __future__ import annotations

from collections.abc import Mapping

_PREFIX = "AWS_"
_NAMES = frozenset({"BOTO_CONFIG", "HOME", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"})
_PROXIES = frozenset({"all_proxy", "http_proxy", "https_proxy", "no_proxy"})
"""In capitals, too."""


def bucket_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that opening a bucket looks at."""
    return {
        name: value
        for name, value in environment.items()
        if name.startswith(_PREFIX) or name in _NAMES or name.lower() in _PROXIES
    }
