"""SeaweedFS: keys are paths there, so that some can't be, and folders are listed in order of name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.object_stores.serving import ACCESS_KEY, SECRET_KEY, ObjectStore, program, served

_IDENTITIES = {
    "identities": [
        {
            "name": "tests",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
    ]
}


@contextmanager
def seaweed_server(folder: Path) -> Iterator[ObjectStore]:
    """The server, with all that it keeps in the folder."""
    identities = folder / "identities.json"
    identities.write_text(json.dumps(_IDENTITIES))
    # The paths of these can't be chosen, and nobody else removes them.
    sockets: list[Path] = []

    def command(ports: list[int]) -> list[str]:
        s3, master, volume, filer = ports
        data = folder / f"seaweed-{s3}"
        data.mkdir()
        sockets.extend(
            Path("/tmp").joinpath(f"seaweedfs-{of}-grpc-{port + 10_000}.sock")
            for of, port in (("s3", s3), ("master", master), ("volume", volume), ("filer", filer))
        )
        return [
            program("weed"),
            "-logtostderr=true",
            "server",
            f"-dir={data}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-master.telemetry=false",
            "-master.volumeSizeLimitMB=64",
            "-volume.max=200",
            f"-master.port={master}",
            f"-volume.port={volume}",
            f"-filer.port={filer}",
            f"-filer.localSocket={data}/filer.sock",
            "-s3",
            f"-s3.port={s3}",
            f"-s3.config={identities}",
            f"-s3.localSocket={data}/s3.sock",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
        ]

    try:
        with served("seaweed", 4, command, folder) as store:
            yield store
    finally:
        for path in sockets:
            path.unlink(missing_ok=True)
