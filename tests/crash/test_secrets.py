"""A secret is in no byte that clew writes: not on disk, not in what it says, not after a kill."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.crash.stories import PROGRAMS

from clew.executors.attempts_lock import wait_until_attempts_ended

NEST = "kept-in-a-file-0123456789"


@pytest.mark.parametrize(
    "canary", ["sing-canary-4711", 'p@ss w/"quotes"+ünï % 40\n-second line of it-'], ids=["plain", "awkward"]
)
def test_a_secret_is_in_no_byte_that_clew_wrote(canary: str, tmp_path: Path) -> None:
    """Told by stages in every way, before and after a kill, a secret is nowhere on disk nor in any output."""
    folder, nest = tmp_path / "work", tmp_path / "nest"
    folder.mkdir()
    nest.write_text(NEST + "\n")
    (folder / "clew.toml").write_text(
        f'[secrets]\nCANARY = {{environment = "CANARY_OF_TEST"}}\nNEST = {{file = "{nest}"}}\n'
    )
    ready = folder / "ready"
    os.mkfifo(ready)
    environment = {**os.environ, "CANARY_OF_TEST": canary}
    forbidden = [*forms(canary), *forms(NEST)]

    def clew(*words: str) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "clew", *words]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)

    run = [sys.executable, "-m", "clew", "run", str(PROGRAMS / "telling.yaml"), "--var", f"ready={ready}"]
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(run, cwd=folder, env=environment, stdout=said, stderr=said)
        ready.read_text()  # half of it is printed now, and more
        process.kill()
        process.wait()
    assert wait_until_attempts_ended(str(folder / ".clew" / "clew.db.attempts"), timeout_seconds=30)
    assert found_in(folder, forbidden) == []

    resumed = clew("resume")
    run_id = json.loads(clew("runs", "--format", "json").stdout)[0]["run_id"]
    outputs = [resumed.stdout, resumed.stderr]
    for words in (["show"], ["show", "--format", "json"], ["logs"], ["why"], ["verify"]):
        told = clew(words[0], run_id, *words[1:])
        outputs += [told.stdout, told.stderr]
    assert found_in(folder, forbidden) == []
    assert found_in(tmp_path, forbidden) != [], "the file that the secret comes from was not looked at"
    assert [form for form in forbidden for output in outputs if form in output] == []

    assert resumed.returncode == 4, resumed.stderr.decode()  # rollbacks fail, too, and tell why
    logs = b"".join(path.read_bytes() for path in (folder / ".clew" / "logs").rglob("*.log"))
    assert logs.count(b"[secret CANARY]") >= 30
    assert logs.count(b"[secret NEST]") >= 10
    bulk = list((folder / ".clew" / "payloads").rglob("*.json"))
    assert any(b"[secret CANARY]" in path.read_bytes() for path in bulk)
    assert b"[secret CANARY]" in (folder / ".clew" / "clew.db").read_bytes()


def forms(secret: str) -> list[bytes]:
    """How a secret looks in what programs print; of one of several lines, each line too."""
    raw = secret.encode()
    found = [
        raw,
        raw.hex().encode(),
        base64.b64encode(raw).rstrip(b"="),
        base64.b64encode(raw, b"-_").rstrip(b"="),
        quote(secret, safe="").encode(),
        json.dumps(secret)[1:-1].encode(),
        json.dumps(secret, ensure_ascii=False)[1:-1].encode(),
        repr(secret)[1:-1].encode(),
    ]
    return [*dict.fromkeys(found), *(line.encode() for line in secret.splitlines())]


def found_in(folder: Path, forbidden: list[bytes]) -> list[tuple[str, bytes]]:
    """Where any of it is: in a file's content or name."""
    found = []
    for path in folder.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        name = os.fsencode(path.name)
        found += [(str(path), form) for form in forbidden if form in content or form in name]
    return found
