"""Object stores behind one promise, `ports.Bucket`: from a bucket's name to its URL to the bucket."""

from __future__ import annotations

from collections.abc import Mapping

from clew.core.planning.locations import is_url
from clew.core.program.problems import nearest
from clew.ports import Bucket, BucketError

_LATER = {"gs": "gs://", "az": "az://"}


def open_bucket(
    name_or_url: str, urls: Mapping[str, str], environment: Mapping[str, str] | None = None
) -> Bucket:
    """The bucket of that name, as `urls` maps names to URLs or folder paths, or of that URL.

    `environment` stands in for the process' own where credentials are looked for. Raises BucketError when the name
    is not known or the URL is none that this version can open.
    """
    url = urls.get(name_or_url, name_or_url)
    if url is name_or_url and not is_url(url) and not url.startswith(("/", "./", "../")):
        hint = nearest(name_or_url, urls) or "name it in the settings, or write a URL such as file:///path"
        raise BucketError(f"no bucket '{name_or_url}' is known; {hint}")
    scheme = url.partition(":")[0] if is_url(url) else "file"
    if scheme == "file":
        from clew.buckets.file import FileBucket, folder_of

        return FileBucket(folder_of(url))
    if scheme == "memory":
        from clew.buckets.memory import memory_bucket

        return memory_bucket(url)
    if scheme == "s3":
        return _open_s3(url, urls, environment)
    if scheme in _LATER:
        raise BucketError(
            f"'{url}': {_LATER[scheme]} buckets are not available in this version; use an s3: or file: URL"
        )
    raise BucketError(f"'{url}' is no bucket's URL; it begins with s3:, file: or memory:")


def _open_s3(url: str, urls: Mapping[str, str], environment: Mapping[str, str] | None) -> Bucket:
    from clew.core.planning.s3_urls import place_of, with_options

    # The location of an object says where it is, and not how its store is reached: that the settings know.
    try:
        place = with_options(place_of(url), urls.values())
    except ValueError as error:
        raise BucketError(str(error)) from error
    try:
        from clew.buckets.s3.bucket import S3Bucket
        from clew.buckets.s3.clients import client_of
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "botocore":
            raise
        raise BucketError(
            f"{place.url}: buckets in S3 need clew's extra 'aws': pip install 'clew[aws]'"
        ) from error
    assert place.options is not None
    return S3Bucket(client_of(place.options, environment), place)
