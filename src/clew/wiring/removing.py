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
        self._logs = settings.logs
        self._bucket = LazyBucket(settings.payloads)

    def erase_objects(self, run_id: str, before_seq: int) -> None:
        from clew.buckets.erasing import erase_objects

        erase_objects(self._bucket, run_id, before_seq)

    def erase_logs(self, run_id: str, until: int) -> None:
        folder = os.path.join(self._logs, run_id)
        try:
            names = os.listdir(folder)
        except FileNotFoundError:
            return
        for name in names:
            path = os.path.join(folder, name)
            with suppress(FileNotFoundError):
                if os.stat(path).st_mtime_ns // 1_000_000 <= until:
                    os.unlink(path)
        with suppress(OSError):  # others stand there
            os.rmdir(folder)

    def logged_runs(self) -> Iterator[Sequence[str]]:
        try:
            with os.scandir(self._logs) as entries:
                names = (entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
                while some := list(islice(names, RUNS_TOGETHER)):
                    yield some
        except FileNotFoundError:
            return
