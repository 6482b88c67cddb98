"""What a person tells a run from a second process while a first one drives, either of them killed anywhere.

The driver's own run is at its gate when the words are said: a stage of it is under way, and stays so until it is let
go. Where it is another run that somebody speaks of, that one rests, and the driver takes it up for the purpose.
"""

from __future__ import annotations

import fcntl
import os
import select
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tests.crash.faults import Fault, Point, Transaction
from tests.crash.judging import Evidence, Kept
from tests.crash.stories import (
    KILLED,
    PROGRAMS,
    REGEXES,
    SETTLED,
    ForkServer,
    Play,
    Story,
    points_of,
)

DRIVER, TELLER = "driver", "teller"
ROLES = (DRIVER, TELLER)
OPEN = "let it go"
"""In place of words: from here on the gate is open."""
GATED = "gated"


@dataclass(frozen=True)
class Telling:
    """`words`: what is said of the story's run, one after the other, each with the verb first. `rests`: that run
    rests already, and the driver drives another."""

    story: Story
    words: tuple[str, ...]
    rests: bool = False

    def __str__(self) -> str:
        return self.story.name


TELLINGS = (
    Telling(Story("cancelled", GATED, "rolled_back"), ("cancel --yes",)),
    Telling(Story("stopped", GATED, "failed"), ("stop",)),
    Telling(Story("paused", GATED, "completed"), ("pause", OPEN, "unpause")),
    Telling(Story("supplied", "asking", "completed"), ("supply word hello",)),
    Telling(Story("retried", "holding", "completed"), ("retry two",), rests=True),
    Telling(Story("skipped", "holding", "completed"), ("skip two --output two=given",), rests=True),
    Telling(Story("released", "holding", "completed"), ("resume",), rests=True),
    Telling(Story("left-standing", "held", "failed", modules=(REGEXES,)), ("skip one",), rests=True),
    Telling(Story("undone-beside", "steps", "rolled_back"), ("rollback --yes",), rests=True),
    Telling(
        Story("rewound-beside", "steps", "completed", pass_count=2), ("rewind --to two-left --yes",), rests=True
    ),
    Telling(Story("erased-beside", "steps", "completed"), ("erase --payloads --yes",), rests=True),
)  # fmt: skip


class TellingPlay(Play):
    """A telling, played once. What passed in each of the two processes is in `passed_by`, once it has ended."""

    def __init__(self, telling: Telling, server: ForkServer) -> None:
        super().__init__(telling.story, server)
        self._telling = telling
        self.passed_by: dict[str, list[Transaction]] = {}

    def perform_with(self, **faults: Fault) -> TellingPlay:
        """From the driver's start until all runs rest; each role is struck by its fault."""
        self._set_out()
        if self._telling.rests:
            self._begin()
            (self.folder / "allowed").touch()
        with self._gate() as (begun, let_go):
            driver = self._drive_to_the_gate(begun, faults.get(DRIVER))
            for words in self._telling.words:
                if words == OPEN:
                    let_go()
                else:
                    self._tell(words.split(), faults.get(TELLER))
            let_go()
            if driver is not None:
                self._take_end(self._server.end_clew(driver))
                self.passed_by[DRIVER] = self._passed(DRIVER)
            if any(row["status"] not in SETTLED for row in self.end().runs.values()):
                self._until_rest(("resume",), [])
        self.broken += [f"it is left behind: {process}" for process in self._server.remains()]
        return self

    # ---- the driver --------------------------------------------------------------------------------------

    @contextmanager
    def _gate(self) -> Iterator[tuple[int, Callable[[], None]]]:
        """A closed gate: what tells that a stage has come to it, and what lets it go."""
        os.mkfifo(self.folder / "begun")
        begun = os.open(self.folder / "begun", os.O_RDWR)  # so that there is a reader, and never an end
        gate = os.open(self.folder / "gate", os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(gate, fcntl.LOCK_EX)
        try:
            yield begun, lambda: fcntl.flock(gate, fcntl.LOCK_UN)
        finally:
            os.close(gate)
            os.close(begun)

    def _drive_to_the_gate(self, begun: int, fault: Fault | None) -> int | None:
        """The driver's process, once its run is at the gate. If it is killed before, another goes on."""
        while True:
            words = ("resume",) if self._is_there() else self._request()
            driver = self._server.begin_clew(*words, fault=fault, role=DRIVER)
            handle = os.pidfd_open(driver)
            ready, _, _ = select.select([begun, handle], [], [])
            os.close(handle)
            if begun in ready:
                os.read(begun, 1)
                return driver
            self._take_end(self._server.end_clew(driver))
            if self.statuses[-1] != KILLED:
                self.broken.append(f"the driver ended with {self.statuses[-1]}, and was not at the gate")
                return None
            fault = None

    def _is_there(self) -> bool:
        return any(row["program"] == self._driven() for row in self.end().runs.values())

    def _driven(self) -> str:
        return GATED if self._telling.rests else self._story.program

    def _request(self) -> Sequence[str]:
        is_beginning = self._telling.rests and not self.end().runs
        program = PROGRAMS / f"{self._story.program if is_beginning else self._driven()}.yaml"
        return ("run", str(program), "--var", f"world={self.folder}")

    def _take_end(self, status: int) -> None:
        self.statuses.append(status)
        if status == KILLED:
            self.kills.append(self._copied())

    def _copied(self) -> Kept:
        """What is there: another process goes on with it."""
        return self.end()

    # ---- the teller --------------------------------------------------------------------------------------

    def _tell(self, words: Sequence[str], fault: Fault | None) -> None:
        """Say it, and again if who has said it was killed before anybody had to obey."""
        verb, *options = words
        said = (verb, self._spoken_of(), *options)
        self._take_end(self._server.clew(*said, fault=fault, role=TELLER))
        self.passed_by.setdefault(TELLER, self._passed(TELLER))
        if self.statuses[-1] == KILLED and not self._is_obeyed(verb):
            self._take_end(self._server.clew(*said, role=TELLER))

    def _spoken_of(self) -> str:
        runs = self.end().runs.values()
        return next(row["run_id"] for row in runs if row["program"] == self._story.program)

    # ---- what is known of it -----------------------------------------------------------------------------

    def _evidence(self) -> Evidence:
        story = self._story
        return Evidence(
            self.acts(), self.kills, self.end(), self.acknowledged(), story.status,
            pass_count=story.pass_count, others={GATED: "completed"} if self._telling.rests else {},
        )  # fmt: skip

    def judge(self) -> list[str]:
        return [*super().judge(), *self._wrongly_told()]

    def _wrongly_told(self) -> Iterator[str]:
        """What was said has come about outside, too."""
        words = {
            act.word for act in self.acts() if act.stage in ("asking", "three") and act.work == "execute"
        }
        wanted = {"supplied": {"hello"}, "skipped": {"given", ""}, "retried": {"two", ""}}
        if words != wanted.get(self._story.name, words):
            yield f"the words were {words}"
        if self._story.name == "stopped" and any(act.work == "rollback" for act in self.acts()):
            yield "it was stopped, and all the same something was undone"


# ---- the points ------------------------------------------------------------------------------------------


def points_by(role: str, passed: Sequence[Transaction]) -> list[Point]:
    """The points of a process of that role of which these transactions passed when nothing struck. Whether the driver
    is the last to close the store is not steady, nor whether the teller comes to take it; of the driver, stories have
    that."""
    left = {"take"} if role == TELLER else {"take", "close"}
    points = [point for point in points_of(passed) if point.transaction not in left]
    return [point for point in points if point.transaction not in ("open", "close") or point.number == 1]
