"""A run that waits for its program's window: nobody has to say anything for it to go on."""

from __future__ import annotations

import signal
from datetime import UTC, datetime, timedelta

import apsw
import pytest
from tests.surfaces.calling import Person, until_said


@pytest.fixture
def closed(person: Person) -> str:
    """A run of a program whose window opens in two hours, left by a process that was killed."""
    opens = datetime.now(UTC) + timedelta(hours=2)
    person.write(
        "nightly.yaml",
        f"""
name: nightly
initial: "{opens:%H:%M}"
final: "{opens + timedelta(hours=1):%H:%M}"
stages:
  - {{name: a, execute: {{command: shell, params: ["true"]}}, rollback: none}}
""",
    )
    process = person.begin("run", "nightly.yaml")
    until_said(process, "window is closed")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (row,) = person.clew("runs", "--format", "json").document
    assert row["status"] == "paused"
    return str(row["run_id"])


@pytest.mark.parametrize("names_it", [False, True])
def test_it_is_resumed_like_any_other_run_and_waited_for(person: Person, closed: str, names_it: bool) -> None:
    """Whether it is named or not."""
    process = person.begin("resume", *([closed] if names_it else []))
    until_said(process, "taken up again")
    process.send_signal(signal.SIGTERM)
    assert person.end(process).code == 130
    assert person.clew("verify", "--all").code == 0


def test_why_says_when_its_window_opens_and_nobody_is_said_to_have_paused_it(
    person: Person, closed: str
) -> None:
    """Nor can it be told to go on before: but to wait for longer than its window, or to end."""
    told = person.clew("why", closed, "--format", "json").document
    assert told["paused"] is None and not told["window"]["is_open"] and told["can_be_told"] == []
    text = person.clew("why", closed)
    assert "is closed; it opens at" in text.out and "unpause" not in text.out + text.err
    refused = person.clew("unpause", closed, code=2)
    assert "nobody has paused it: it goes on when its program's window opens" in refused.err
    person.clew("pause", closed)
    assert person.clew("why", closed, "--format", "json").document["paused"]["kind"] == "run_paused"
    assert f"clew unpause {closed[:16]}" in person.clew("resume", closed, code=2).err
    person.clew("unpause", closed, "--no-wait", code=5)
    assert person.clew("why", closed, "--format", "json").document["paused"] is None
    person.clew("cancel", closed, "--yes")


def test_one_that_nobody_can_read_keeps_no_other_from_going_on(person: Person, closed: str) -> None:
    """It is listed as one that needs a person."""
    with apsw.Connection(str(person.folder / ".clew" / "clew.db")) as connection:
        connection.execute("UPDATE programs SET content = '{}'")
    done = person.clew("resume")
    assert f"run {closed} is paused" in done.err and "no run is unfinished" in done.err
