"""Object stores behind one promise, `ports.Bucket`: from a bucket's name to its URL to the bucket."""

from __future__ import annotations

from collections.abc import Mapping

from clew.core.planning.locations import is_url
from clew.core.program.problems import nearest
from clew.ports import Bucket, BucketError

_LATER = {"s3": "s3://", "gs": "gs://", "az": "az://"}


def open_bucket(name_or_url: str, urls: Mapping[str, str]) -> Bucket:
    """The bucket of that name, as `urls` maps names to URLs or folder paths, or of that URL.

    Raises BucketError when the name is not known or the URL is none that this version can open.
    """
    url = urls.get(name_or_url, name_or_url)
    if url is name_or_url and not is_url(url) and not url.startswith(("/", "./", "../")):
        hint = nearest(name_or_url, urls) or "name it in the settings, or write a URL such as file:///path"
        raise BucketError(f"no bucket '{name_or_url}' is known; {hint}")
    return _open_url(url)


def _open_url(url: str) -> Bucket:
    scheme = url.partition(":")[0] if is_url(url) else "file"
    if scheme == "file":
        from clew.buckets.file import FileBucket, folder_of

        return FileBucket(folder_of(url))
    if scheme == "memory":
        from clew.buckets.memory import memory_bucket

        return memory_bucket(url)
    if scheme in _LATER:
        raise BucketError(
            f"'{url}': {_LATER[scheme]} buckets are not available in this version; use a file: URL"
        )
    raise BucketError(f"'{url}' is no bucket's URL; it begins with file: or memory:")
