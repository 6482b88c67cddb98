"""What is shown while runs go on: a line for each thing that happens, or on a terminal a picture that moves."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

from clew.cli.next_steps import short
from clew.cli.output import Output, clock_text, counted, escaped, mark_of, took_text
from clew.cli.sentences import Said, sentence, wanted
from clew.core.running.consequences import inputs_missing
from clew.core.running.entries import Entry, StageWaiting
from clew.core.running.stage_state import StageState
from clew.core.running.state import RunState

Result = TypeVar("Result")

PICTURE_AFTER_SECONDS = 0.3
"""A run that is over sooner needs no picture, and is spared the time to load what draws it."""
PICTURE_INTERVAL_SECONDS = 0.2
"""Often enough that a clock of seconds runs evenly, and for a fifth of a percent of a core."""
ROWS_SPARED = 4
"""Lines of the terminal that the picture leaves free, for its head and for what is said meanwhile."""


class Progress:
    """Told of what happens to runs (see `driving.Watcher`). `run_ids`: those it has heard of, in order."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self.run_ids: list[str] = []
        self.is_driven_elsewhere = False
        """Another process drives the runs of the store."""

    def recorded(self, entry: Entry, state: RunState, said: Said) -> None:
        if entry.run not in self.run_ids:
            self.run_ids.append(entry.run)

    def is_beside(self, why: str) -> None:
        self.is_driven_elsewhere = True
        self._output.talk(escaped(f"{why}; this run goes on as soon as nobody does"))

    def is_told(self, why: str) -> None:
        self.is_driven_elsewhere = True
        self._output.talk(escaped(f"{why}, and is told"))

    def others(self, count: int) -> None:
        verb, them = ("is", "it") if count == 1 else ("are", "them")
        self._output.talk(f"{counted(count, 'other run')} {verb} unfinished; `clew resume` takes {them} up")

    async def during(self, work: Awaitable[Result]) -> Result:
        """The result of the work, with whatever is shown meanwhile."""
        return await work


class Lines(Progress):
    """A line for each thing that happens, for files, pipes and terminals that can do no more."""

    def recorded(self, entry: Entry, state: RunState, said: Said) -> None:
        first = entry.run not in self.run_ids
        super().recorded(entry, state, said)
        if first:
            self._output.talk(f"run {entry.run} of {escaped(state.program.program.name)}")
        stage, happened = sentence(entry, state.program, said)
        run = f"{entry.run[:16]}  " if len(self.run_ids) > 1 else ""
        about = f"{stage}: " if stage else ""
        self._output.talk(f"{clock_text(entry.at)}  {run}{about}{happened}")


class Picture(Progress):
    """The stages of the runs in their blocks, drawn again and again in place."""

    def __init__(self, output: Output) -> None:
        super().__init__(output)
        self._states: dict[str, RunState] = {}
        self._waits: dict[tuple[str, str], str] = {}
        self._stream = (
            sys.stderr
        )  # while the picture is shown, what is said goes through it, by another stream

    def recorded(self, entry: Entry, state: RunState, said: Said) -> None:
        if entry.run not in self._states:
            self._output.talk(f"run {entry.run} of {escaped(state.program.program.name)}")
        super().recorded(entry, state, said)
        self._states[entry.run] = state
        if isinstance(entry.body, StageWaiting):
            self._waits[entry.run, entry.body.stage] = wanted(said)

    async def during(self, work: Awaitable[Result]) -> Result:
        drawing = asyncio.ensure_future(self._draw())
        try:
            return await work
        finally:
            drawing.cancel()
            await asyncio.gather(drawing, return_exceptions=True)

    async def _draw(self) -> None:
        await asyncio.sleep(PICTURE_AFTER_SECONDS)
        # 80 ms, and in this thread: an attempt's process can be a cheap fork only of a process without threads.
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        console = Console(stderr=True, highlight=False)
        with Live(console=console, auto_refresh=False, transient=True) as live:
            while True:
                lines = self._lines(console.width, max(console.height - ROWS_SPARED, 3))
                live.update(Text.from_ansi("\n".join(lines), no_wrap=True, overflow="ellipsis"), refresh=True)
                await asyncio.sleep(PICTURE_INTERVAL_SECONDS)

    # ---- the picture, as lines ----

    def _lines(self, width: int, height: int) -> list[str]:
        now = time.time_ns() // 1_000_000
        lines: list[str] = []
        states = [state for state in self._states.values() if not state.is_settled]
        for at, state in enumerate(states):
            room = height - len(lines)
            if at and room < 4:
                lines.append(f"and {counted(len(states) - at, 'more run')}")
                break
            lines.extend(self._run_lines(state, now, room if len(states) == 1 else max(room // 2, 4)))
        return lines

    def _run_lines(self, state: RunState, now: int, room: int) -> list[str]:
        out = self._output
        head = (
            f"{out.status(state.status, stream=self._stream)}  {escaped(state.program.program.name)}  "
            f"{_how_far(state)}  {took_text(now - (state.launched_at or state.created_at))}"
        )
        chosen = _chosen(state, room - 1)
        lines = [line for stage in chosen for line in self._stage_lines(state, stage, now)]
        left = len(state.stages) - len(chosen)
        return [head, *lines[: room - 1], *([f"         and {counted(left, 'more stage')}"] if left else [])]

    def _stage_lines(self, state: RunState, stage: StageState, now: int) -> list[str]:
        mark, colour = mark_of(stage.status, self._stream)
        name = escaped(stage.sealed.name)
        words = self._output.styled(f"{mark} {stage.status:<13}", colour, stream=self._stream)
        line = f"block {stage.sealed.block:<3} {words} {name}  {self._detail(state, stage, now)}".rstrip()
        wants = self._waits.get((state.run_id, stage.sealed.name), "") if stage.status == "waiting" else ""
        return [line, f"{'':26}{wants}"] if wants else [line]

    def _detail(self, state: RunState, stage: StageState, now: int) -> str:
        if stage.status == "waiting":
            return self._wait(state, stage, now)
        details: list[str] = []
        if stage.items is not None:
            details.append(_how_many(state, stage.items))
        elif stage.attempts > 1 or (stage.attempts and stage.sealed.stage.retry.attempts > 1):
            details.append(f"attempt {stage.attempts}")
        if stage.started_at:
            details.append(took_text((stage.ended_at or now) - stage.started_at))
        if stage.status == "started" and not stage.in_flight and stage.retry_at > now:
            details.append(f"the next attempt in {took_text(stage.retry_at - now)}")
        return ", ".join(details)

    def _wait(self, state: RunState, stage: StageState, now: int) -> str:
        missing = inputs_missing(state, stage)
        if not missing:
            if stage.look_again_at < now:  # looks that say no more than the last one are not on record
                return "looks again and again"
            return f"looks again in {took_text(stage.look_again_at - now)}"
        if any(one.deadline_milliseconds for one in missing):
            return f"for another {took_text(stage.look_again_at - now)}"
        return ""


def _how_far(state: RunState) -> str:
    """How much is done; on the way back, how much is undone."""
    if state.undo is not None:
        undone = [state.units[one.stage].rollback_is_over for block in state.undo for one in block.stages]
        return f"{sum(undone)} of {len(undone)} undone"
    done = sum(stage.status in _DONE for stage in state.stages.values())
    return f"{done} of {counted(len(state.stages), 'stage')} done"


def _how_many(state: RunState, items: Sequence[StageState]) -> str:
    """How many of the items are done, or undone."""
    is_going_back = state.undo is not None
    over = sum(item.rollback_is_over if is_going_back else item.status in _DONE for item in items)
    return f"{over} of {counted(len(items), 'item')} {'undone' if is_going_back else 'done'}"


_DONE = frozenset({"completed", "skipped"})
_DULL = {"pending": 2, "completed": 1, "skipped": 1, "rolled_back": 1, "cancelled": 1}


def _chosen(state: RunState, room: int) -> list[StageState]:
    """The stages that there is room for: what goes on first, then what was, then what is to come."""
    stages = sorted(state.stages.values(), key=lambda stage: stage.sealed.position)
    if len(stages) <= room:
        return stages
    telling = sorted(
        stages, key=lambda stage: (_DULL.get(stage.status, 0), abs(stage.sealed.block - state.block))
    )
    return sorted(telling[: max(room - 1, 1)], key=lambda stage: stage.sealed.position)


def new_progress(output: Output) -> Progress:
    """What suits the terminal, or the file, that standard error is."""
    import os

    if output.quiet:
        return Progress(output)
    if sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        return Picture(output)
    return Lines(output)


def interrupted_hint(run_ids: list[str]) -> Any:
    """What to do after an interruption."""
    if not run_ids:
        return "interrupted; nothing was done"
    named = f"clew resume {short(run_ids[0])}" if len(run_ids) == 1 else "clew resume"
    return f"interrupted; unfinished, and safe: `{named}` goes on"
