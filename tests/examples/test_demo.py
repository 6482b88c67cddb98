"""The demo keeps what it promises, and the guide's programs do what the guide says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.examples.loading import EXAMPLES, clew, files_in, run

GUIDE = EXAMPLES.parent / "docs" / "guides" / "first-program.md"


def demo(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / "demo.py"), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_demo_keeps_its_promises(tmp_path: Path) -> None:
    """The demo ends with 0 in a fresh folder, and finds no promise broken."""
    done = demo(tmp_path / "shown")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All is as promised" in done.stdout
    assert "BROKEN" not in done.stdout


def test_the_demo_deletes_nothing_of_others(tmp_path: Path) -> None:
    """A folder that holds something else is left alone."""
    (tmp_path / "letter.txt").write_text("mine")
    done = demo(tmp_path)
    assert done.returncode == 1
    assert "name another folder" in done.stderr
    assert files_in(tmp_path) == {"letter.txt": b"mine"}


@pytest.fixture(scope="module")
def greet() -> str:
    """The guide's first program, as it stands when both its parts are put together."""
    first, more, *_ = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    return first + "\n" + more


def test_the_guides_program_runs(greet: str, tmp_path: Path) -> None:
    """The program of the first guide completes, in the blocks that the guide names."""
    (tmp_path / "greet.yaml").write_text(greet)
    clew("check", "greet.yaml", folder=tmp_path)
    done = run("greet.yaml", "--bucket", "letters=file:letters", "--var", "who=Theseus", folder=tmp_path)
    assert {stage["name"]: stage["block"] for stage in done["stages"]} == {
        "Write the letter": 1, "Count the letters": 1, "Note the count": 2
    }  # fmt: skip
    assert sorted(files_in(tmp_path / "letters").values()) == [b"7\n", b"Dear Theseus,\n"]


def test_the_guides_program_goes_back(greet: str, tmp_path: Path) -> None:
    """With the long name of the guide it is rolled back, and no letter is left."""
    (tmp_path / "greet.yaml").write_text(greet)
    words = ("greet.yaml", "--bucket", "letters=file:letters", "--var", "who=everybody on the ship to Naxos")
    assert run(*words, folder=tmp_path, exit_status=3)["status"] == "rolled_back"
    assert files_in(tmp_path / "letters") == {}
