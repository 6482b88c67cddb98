"""Doubles from an earlier run: a command that has none gives what it gave then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from clew.core.program.model import Json
from clew.core.running.outputs import STDOUT
from clew.operations.records import History
from clew.operations.requests import RequestError
from clew.rehearsing.declared import Double
from clew.rehearsing.outside import Work


def recorded_doubles(history: History, program: str, works: Iterable[Work]) -> tuple[Double, ...]:
    """Doubles for these pieces of work, as far as the run has something on record of their stages.

    Raises RequestError for the run of another program.
    """
    if history.row["program"] != program:
        raise RequestError(
            f"run {history.row['run_id']} is one of {history.row['program']}, not of {program}"
        )
    return tuple(double for work in works for double in _doubles(history, work))


def _doubles(history: History, work: Work) -> Iterator[Double]:
    """The double of an execute gives what its stage gave; that of a rollback gives nothing, which nobody reads."""
    state = history.state.stages.get(work.stage)
    if (
        work.work not in ("execute", "rollback")
        or state is None
        or state.is_for_each
        or state.written_seq < 0
    ):
        return
    if work.work == "rollback":
        yield Double(work.item.name, work.stage, work.work)
        return
    said = history.values.get(state.written_seq, {})
    outputs = said.get("variables", {})
    sources = {output.name: output.source for output in state.sealed.stage.outputs}
    printed = [str(value) for name, value in outputs.items() if sources.get(name) == STDOUT]
    named: Json = {name: value for name, value in outputs.items() if sources.get(name) != STDOUT}
    gives = said.get("result", named or None)
    yield Double(work.item.name, work.stage, work.work, gives, printed[0] if printed else "")
