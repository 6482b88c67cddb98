"""Figure 4 runs in blocks of 2, 1, 3 and 1, and goes back from whichever task is spoilt."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.examples.loading import EXAMPLES, clew, files_in, run

PROGRAM = str(EXAMPLES / "figure4.yaml")
BLOCKS = [["task-411", "task-412"], ["task-413"], ["task-414", "task-415", "task-416"], ["task-417"]]


def test_the_blocks_follow_from_outputs_and_inputs(tmp_path: Path) -> None:
    """The plan has four blocks, each task needs some of the block before, and each names its rollback."""
    plan = json.loads(clew("plan", PROGRAM, "--format", "json", folder=tmp_path))
    assert plan["program"] == "figure4"
    assert [[stage["name"] for stage in block["stages"]] for block in plan["blocks"]] == BLOCKS
    assert [block["index"] for block in plan["blocks"]] == [1, 2, 3, 4]
    for before, block in zip(plan["blocks"], plan["blocks"][1:], strict=False):
        for stage in block["stages"]:
            assert stage["needs"] == [one["name"] for one in before["stages"]]
            assert stage["rollback"]


def test_every_task_is_done_once(tmp_path: Path) -> None:
    """A run that completes has seven files and the last task's sum, and every journal verifies."""
    done = run(PROGRAM, "--bucket", "work=file:work", folder=tmp_path)
    assert done["status"] == "completed"
    assert [(stage["block"], stage["status"], stage["attempts"]) for stage in done["stages"]] == [
        (block, "completed", 1) for block in (1, 1, 2, 3, 3, 3, 4)
    ]
    assert done["variables"]["result_417"] == "2475"
    assert len(files_in(tmp_path / "work")) == 7
    clew("verify", "--all", folder=tmp_path)


@pytest.mark.parametrize("spoilt", ["task-411", "task-415", "task-417"])
def test_a_spoilt_task_takes_all_of_it_back(tmp_path: Path, spoilt: str) -> None:
    """Whichever block breaks, it and those before are undone, those after never start, nothing is left."""
    (tmp_path / "work").mkdir()
    done = run(
        PROGRAM, "--bucket", "work=file:work", "--var", f"spoil={spoilt}", folder=tmp_path, exit_status=3
    )
    assert (done["status"], done["residue"]) == ("rolled_back", [])
    assert files_in(tmp_path / "work") == {}
    broken = next(index for index, names in enumerate(BLOCKS, 1) if spoilt in names)
    for stage in done["stages"]:
        assert stage["status"] == ("rolled_back" if stage["block"] <= broken else "pending")


def test_the_settings_beside_it_name_its_bucket(tmp_path: Path) -> None:
    """With the clew.toml of the examples in the current folder, no bucket has to be given."""
    (tmp_path / "clew.toml").write_text((EXAMPLES / "clew.toml").read_text())
    assert run(PROGRAM, folder=tmp_path)["status"] == "completed"
    assert len(files_in(tmp_path / "demo-work")) == 7
