"""moto's server: keys are opaque there, as in S3."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.object_stores.serving import ObjectStore, program, served


@contextmanager
def moto_server(folder: Path) -> Iterator[ObjectStore]:
    """The server, with all in memory; its log is in the folder."""
    with served(
        "moto", 1, lambda ports: [program("moto_server"), "-H", "127.0.0.1", "-p", str(ports[0])], folder
    ) as store:
        yield store
