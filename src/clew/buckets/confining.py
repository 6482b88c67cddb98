"""Buckets of an attempt whose outside has doubles: copies, and no others."""

from __future__ import annotations

import os
from collections.abc import Mapping

from clew.buckets.file import folder_of
from clew.ports import BucketError, Doubles


class NoDouble(BucketError):
    """The bucket is no copy, and has none."""


def confined(name_or_url: str, urls: Mapping[str, str], doubles: Doubles) -> str:
    """What to open in the place of that bucket: `urls` names copies only, and a folder that was copied, or lies in
    one that was, has its place in the copy. Raises NoDouble."""
    if name_or_url in urls:
        return name_or_url
    if name_or_url.startswith(("file:", "/", "./", "../")):
        copy = copied_folder(name_or_url, doubles)
        if copy is not None:
            return copy
    raise NoDouble(f"the bucket '{name_or_url}' is no copy, and has none")


def copied_folder(url: str, doubles: Doubles) -> str | None:
    """Where the folder of a `file:` URL, or a path, is among the copies; None if it is not."""
    try:
        folder = os.path.realpath(folder_of(url))
    except (BucketError, ValueError):
        return None
    for real, copy in (*doubles.folders.items(), (doubles.folder, doubles.folder)):
        root = os.path.realpath(real)
        if folder == root or folder.startswith(f"{root}/"):
            return os.path.realpath(copy) + folder[len(root) :]
    return None
