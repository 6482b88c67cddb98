"""A world as it was seen, and how two of them differ. Pure.

A world is a heap of facts, each at a place: that a file has these bytes, that a table has this row, that a server
said this. How often a fact is there counts too: two equal rows are two.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import NamedTuple

from clew.core.program.model import Json

TEXT_SIZE_MAX = 400
"""Characters of a fact that a person is shown."""


class Fact(NamedTuple):
    """`kind`: `file`, `row`, `part` (of what a server said) or `mark` (what a double left). `place` says where, and of
    a single-valued place (a file, a named value) there is one fact at most."""

    kind: str
    place: str
    value: str
    is_single: bool = False


World = Mapping[Fact, int]


class Change(NamedTuple):
    """`was` and `now` are None where there was, or is, nothing. `times`: how many equal ones."""

    kind: str
    place: str
    was: str | None
    now: str | None
    times: int = 1

    @property
    def sign(self) -> str:
        return "+" if self.was is None else "-" if self.now is None else "~"

    def __str__(self) -> str:
        what = f"{self.kind} {self.place}" if self.kind not in _SELF_EVIDENT else self.place
        if self.kind == "mark":
            return f"{self.sign} {_cut(self.now or self.was or '')}"
        if self.was is not None and self.now is not None:
            return f"~ {what}: {_cut(self.was)} -> {_cut(self.now)}"
        times = f" ({self.times} times)" if self.times > 1 else ""
        return f"{self.sign} {what}: {_cut(self.now or self.was or '')}{times}"


_SELF_EVIDENT = frozenset({"part", "mark"})
"""Kinds of fact that their place says well enough."""


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_SIZE_MAX else f"{text[: TEXT_SIZE_MAX - 1]}…"


def difference(before: World, after: World) -> list[Change]:
    """What has changed from one to the other, in order of place."""
    gone, come = Counter(before), Counter(after)
    gone.subtract(after)
    come.subtract(before)
    removed = {fact: count for fact, count in gone.items() if count > 0}
    added = {fact: count for fact, count in come.items() if count > 0}
    replaced = {(fact.kind, fact.place): fact for fact in added if fact.is_single}
    changes: list[Change] = []
    for fact, count in removed.items():
        successor = replaced.get((fact.kind, fact.place)) if fact.is_single else None
        if successor is not None:
            changes.append(Change(fact.kind, fact.place, fact.value, successor.value))
            del added[successor]
        else:
            changes.append(Change(fact.kind, fact.place, fact.value, None, count))
    changes += [Change(fact.kind, fact.place, None, fact.value, count) for fact, count in added.items()]
    return sorted(changes, key=lambda change: (change.kind, change.place, change.was or "", change.now or ""))


def without(world: World, ignored: Iterable[str]) -> World:
    """The world without what lies at ignored places: patterns such as `lines/logs/*`."""
    patterns = tuple(ignored)
    if not patterns:
        return world
    return {
        fact: count
        for fact, count in world.items()
        if not any(fnmatchcase(fact.place, pattern) for pattern in patterns)
    }


# ---- what a server said ----------------------------------------------------------------------------------


def facts_of(document: Json, place: str) -> Iterator[Fact]:
    """A JSON document as facts: each item of a list one (in no order), each named value one."""
    if isinstance(document, dict):
        for name, value in document.items():
            yield from facts_of(value, f"{place} {name}" if " " not in place else f"{place}.{name}")
    elif isinstance(document, list):
        for value in document:
            yield Fact("part", place, canonical(value))
    else:
        yield Fact("part", place, canonical(document), is_single=True)


def canonical(value: Json) -> str:
    """The same text for the same value."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(", ", ": "), default=str)


# ---- who did it ------------------------------------------------------------------------------------------


class Act(NamedTuple):
    """What a piece of a stage's work (`execute` or `rollback`) changed."""

    stage: str
    work: str
    changes: tuple[Change, ...]


def doers(change: Change, acts: Iterable[Act]) -> list[str]:
    """The stages to which a change that has remained goes back.

    Whose work put there what is there now, or took away what is missing; failing that, whose rollback did; failing
    that, whoever changed the place at all. Of some that could be, all.
    """
    known = list(acts)
    for is_it in (_did, _touched):
        for work in ("execute", "rollback"):
            found = {
                act.stage: None
                for act in known
                if act.work == work and any(is_it(one, change) for one in act.changes)
            }
            if found:
                return list(found)
    return []


def _did(done: Change, left: Change) -> bool:
    """The act made this part of what is left: the same thing came, or the same thing went."""
    if (done.kind, done.place) != (left.kind, left.place):
        return False
    if left.now is not None:
        return done.now == left.now
    return done.was == left.was and done.now is None


def _touched(done: Change, left: Change) -> bool:
    return (done.kind, done.place) == (left.kind, left.place)
