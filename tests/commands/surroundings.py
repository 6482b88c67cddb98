"""The surroundings in which commands and conditions are tested: real folders, real files, a real log."""

from __future__ import annotations

import os
from contextlib import contextmanager

from clew.buckets import open_bucket
from clew.commands.interface import CommandContext


class Surroundings:
    """A work folder, a bucket `lines` and a log in a folder of the test's own."""

    def __init__(self, folder):
        self.folder = folder
        self.work = folder / "work"
        self.work.mkdir()
        self.log = folder / "log"
        self.urls = {"lines": str(folder / "lines"), "other": str(folder / "other")}

    def bucket(self, name):
        return open_bucket(name, self.urls)

    @contextmanager
    def context(self, **changes):
        log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        fields = {
            "program": "trip",
            "run_id": "r1",
            "stage": "pay",
            "attempt": 2,
            "idempotency_key": "key-1",
            "bucket": self.bucket,
            "work_folder": str(self.work),
            "folder": str(self.folder),
            "environment": {"PATH": os.environ["PATH"]},
            "stdout": log,
            "stderr": log,
        }
        try:
            yield CommandContext(**{**fields, **changes})
        finally:
            os.close(log)
