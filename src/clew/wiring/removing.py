"""What runs have beside their store: large payloads and kept objects in a bucket, logs on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice

from clew.settings import Settings
from clew.wiring.records import LazyBucket

RUNS_TOGETHER = 500


class FilesBeside:
    """The `RunFiles` of these settings."""

    def __init__(self, settings: Settings) -> None:
        self._bucket = LazyBucket(settings.payloads)
        self._folders = [settings.logs]
        if settings.payloads.startswith("file:"):
            # Of this machine alone, it may be; and another one may have been told to delete what stands there.
            from clew.buckets.file import folder_of

            self._folders.append(folder_of(settings.payloads))

    def erase_objects(self, run_id: str, before_seq: int) -> None:
        from clew.buckets.erasing import erase_objects

        erase_objects(self._bucket, run_id, before_seq)

    def erase_files(self, run_id: str, until: int) -> None:
        for folder in self._folders:
            for path, folders, names in os.walk(os.path.join(folder, run_id), topdown=False):
                for name in names:
                    with suppress(FileNotFoundError):
                        if os.stat(os.path.join(path, name)).st_mtime_ns // 1_000_000 <= until:
                            os.unlink(os.path.join(path, name))
                for place in (*(os.path.join(path, each) for each in folders), path):
                    with suppress(OSError):  # others stand there
                        os.rmdir(place)

    def runs_with_files(self) -> Iterator[Sequence[str]]:
        for folder in self._folders:
            with suppress(FileNotFoundError), os.scandir(folder) as entries:
                names = (entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
                while some := list(islice(names, RUNS_TOGETHER)):
                    yield some
