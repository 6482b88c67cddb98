"""Where a stage's data is: a search, as a conversation without I/O.

A search wants one listing at a time, is fed its pages, and ends with what it found or with how near it came:

    search = Search(dependencies, scope)
    while search.want is not None:
        ... list what it wants and feed pages, until it wants something else ...
    search.outcome

For a dependency that is no file it wants a question answered instead, and is fed the reply.

So what a search costs is the number of its wants, and a store's error never enters it: it can't be mistaken
for a file that is missing.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from clew.core.planning.listings import Entry, Evidence, List, Listed, Page
from clew.core.planning.locations import located_value
from clew.core.planning.near_misses import NearMiss
from clew.core.planning.patterns import Fit, Pattern, PatternError, Segment, Step, prepare
from clew.core.planning.questions import NamedDependency, Question, Reply, Told, question_of, settled
from clew.core.program.model import Dependency, Json, SearchedDependency
from clew.core.program.signatures import TEXT
from clew.core.program.stage_templates import dependency_templates
from clew.core.program.variables import names_in, render

MATCHES_MAX = 10_000
"""Paths followed at a time and found by `multiple: all`: as JSON a few megabytes, which a payload bears."""

CANDIDATES_SHOWN = 10
"""Keys that are named when several match: enough to see why one was chosen, or could not be."""


@dataclass(frozen=True, slots=True)
class Found:
    """All dependencies were found: their values by name, and on what each rests."""

    values: Mapping[str, Json]
    evidence: Mapping[str, Evidence | Told]


@dataclass(frozen=True, slots=True)
class Missing:
    """This one has no match yet, and how near the listing came, for people."""

    name: str
    how_near: str
    evidence: Evidence | Told


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """This one has more than one match and does not say which to choose; the evidence names the first of them."""

    name: str
    evidence: Evidence

    @property
    def keys(self) -> tuple[str, ...]:
        return self.evidence.candidates


Outcome = Found | Missing | Ambiguous


@dataclass(frozen=True, slots=True)
class _Path:
    """A path followed so far: up to `key`, with what each finished step matched and what this one has."""

    key: str = ""
    entry: Entry | None = None
    fit: Fit | None = None
    steps: tuple[Fit, ...] = ()

    def into(self, key: str, fit: Fit, entry: Entry | None = None) -> _Path:
        return replace(self, key=key, entry=entry, fit=self.fit.then(fit) if self.fit else fit)

    def finished(self) -> _Path:
        assert self.fit is not None, "a step has at least one segment"
        return replace(self, fit=None, steps=(*self.steps, self.fit))


class _SeveralMatch(Exception):
    """More than one path matches where one is wanted."""


_Following = Generator[List, Page, list[_Path]]


class Search:
    """The search for all dependencies of a stage: they are found in one try, or none is.

    `want` is the listing wanted next, None at the end; `outcome` is what came of it, None until then. With `probes`
    a search that finds nothing goes on to see which part of the path exists, by a listing a level, for a person who
    asks; without, it tells what it has seen anyway. Raises PatternError, and what rendering raises, when a prefix
    can't be followed with the values in `scope`.
    """

    def __init__(
        self, dependencies: Iterable[SearchedDependency], scope: Mapping[str, Json], *, probes: bool = False
    ) -> None:
        self.want: List | Question | None = None
        self.outcome: Outcome | None = None
        self._conversation = _search(in_order(dependencies), dict(scope), probes=probes)
        self._advance(None)

    def feed(self, told: Page | Reply) -> None:
        """Take the next page of the wanted listing, or the reply to the question. If `want` is the same object
        afterwards, the next page of the same listing is wanted."""
        assert self.want is not None, "nothing is wanted any more"
        self._advance(told)

    def _advance(self, told: Page | Reply | None) -> None:
        try:
            self.want = next(self._conversation) if told is None else self._conversation.send(told)
        except StopIteration as end:
            self.want, self.outcome = None, end.value


def in_order(dependencies: Iterable[SearchedDependency]) -> tuple[SearchedDependency, ...]:
    """The dependencies in order of their references, otherwise as listed. Raises PatternError on a cycle."""
    waiting = {one.name: one for one in dependencies}
    needs = {name: references_of(one) & waiting.keys() for name, one in waiting.items()}
    ordered: list[SearchedDependency] = []
    while waiting:
        ready = next((name for name in waiting if not needs[name] & waiting.keys()), None)
        if ready is None:
            raise PatternError(f"the dependencies {', '.join(waiting)} refer to each other in a circle")
        ordered.append(waiting.pop(ready))
    return tuple(ordered)


def references_of(dependency: SearchedDependency) -> set[str]:
    """The names that the dependency refers to."""
    templates = dependency_templates(dependency, ())
    return {name for _, text, kind in templates for name in names_in(text, kind)}


_Told = tuple[Json, "Evidence | Told"]
"""What a dependency was found to be, and on what that rests."""


def _search(
    dependencies: Sequence[SearchedDependency], scope: dict[str, Json], *, probes: bool
) -> Generator[List | Question, Any, Outcome]:
    values: dict[str, Json] = {}
    evidence: dict[str, Evidence | Told] = {}
    for dependency in dependencies:
        known = {**scope, **values}
        if isinstance(dependency, Dependency):
            found = yield from _walk(dependency, known, probes=probes)
        else:
            found = yield from _ask(dependency, known)
        if not isinstance(found, tuple):
            return found
        values[dependency.name], evidence[dependency.name] = found
    return Found(values, evidence)


def _ask(
    dependency: NamedDependency, scope: Mapping[str, Json]
) -> Generator[Question, Reply, Missing | _Told]:
    question = question_of(dependency, scope)
    reply = settled(dependency, (yield question), scope)
    evidence = Told(question.kind, reply.facts, reply.why)
    return (reply.value, evidence) if reply.is_found else Missing(dependency.name, reply.why, evidence)


def _walk(
    dependency: Dependency, scope: Mapping[str, Json], *, probes: bool
) -> Generator[List, Page, Missing | Ambiguous | _Told]:
    walk = _Walk(dependency, scope)
    try:
        found = yield from walk.follow([_Path()], 0)
    except _SeveralMatch:
        return Ambiguous(dependency.name, walk.evidence(walk.why_not()))
    if not found:
        near_miss = walk.near_miss
        how_near = (yield from near_miss.probed()) if probes else near_miss.seen_so_far()
        return Missing(dependency.name, how_near, walk.evidence(how_near))
    return walk.located(found), walk.evidence(walk.why())


class _Walk:
    """The search for one dependency: level by level below the longest literal prefix."""

    def __init__(self, dependency: Dependency, scope: Mapping[str, Json]) -> None:
        bucket = render(dependency.bucket, scope, TEXT)
        if not isinstance(bucket, str):
            raise PatternError(f"the bucket of '{dependency.name}' is {type(bucket).__name__}, not a name")
        self.bucket = bucket
        self.bucket_url = ""
        self.pattern: Pattern = prepare(dependency.prefix, scope)
        self.near_miss = NearMiss(self.bucket, wants_folder=self.pattern.wants_folder)
        self.listings: list[Listed] = []
        self.matched = 0
        self.candidates: list[str] = []

    # ---- forward ----

    def follow(self, paths: list[_Path], position: int) -> _Following:
        """All full matches that go through these paths, chosen as this step and those after it say."""
        step = self.pattern.steps[position]
        is_last = position == len(self.pattern.steps) - 1
        through = yield from self._through(step, paths, is_last=is_last)
        if is_last:
            return _only(through, step)
        if step.multiple is None:
            return (yield from self.follow(through, position + 1)) if through else []
        for path in _best_first(through, step.multiple):
            found = yield from self.follow([path], position + 1)
            if found:
                return found
        return []

    def _through(self, step: Step, paths: list[_Path], *, is_last: bool) -> _Following:
        for segment in step.segments[:-1]:
            paths = yield from self._level(segment, paths)
        if is_last:
            return (yield from self._last_level(step, paths))
        paths = yield from self._level(step.segments[-1], paths)
        return [path.finished() for path in paths]

    def _level(self, segment: Segment, paths: list[_Path]) -> _Following:
        """The folders that fit the segment; an exact one is not looked for, since what lies in it will be."""
        if segment.regex is None:
            fit = Fit(segment.start, (), {})
            return [path.into(f"{path.key}{segment.start}/", fit) for path in paths]
        found: list[_Path] = []
        for path in paths:
            yield from self._list(path, segment, found, folders=True)
        return found

    def _last_level(self, step: Step, paths: list[_Path]) -> _Following:
        found: list[_Path] = []
        for path in paths:
            matches: list[_Path] = []
            yield from self._list(
                path, step.segments[-1], matches, folders=self.pattern.wants_folder, step=step
            )
            found = _kept([*found, *matches], step)
        return found

    def _list(
        self, path: _Path, segment: Segment, found: list[_Path], *, folders: bool, step: Step | None = None
    ) -> Generator[List, Page, None]:
        """Add to `found` what fits in the path's folder. With a `step` only what that may choose is kept."""
        want = List(self.bucket, path.key, segment.start)
        exact_key = f"{path.key}{segment.start}{'/' if folders else ''}" if segment.regex is None else None
        seen = wrong_kind = matched = 0
        listed = Listed(want.folder, want.start)
        self.listings.append(listed)
        has_more = True
        while has_more:
            page = yield want
            listed.take(page)
            self.bucket_url, has_more = page.bucket_url, page.has_more
            for entry in page.entries:
                seen += 1
                fit = segment.fit(entry.key[len(path.key) :].removesuffix("/"))
                if fit is None:
                    continue
                if entry.is_folder != folders:
                    wrong_kind += 1
                    continue
                matched += 1
                if step:
                    self._note_match(entry.key)
                into = path.into(entry.key, fit, entry)
                found.append(into.finished() if step else into)
            if step:
                found[:] = _kept(found, step)
            else:
                _refuse_too_many(found)
            if exact_key is not None and (matched or (page.entries and page.entries[-1].key > exact_key)):
                # Keys come in order: nothing after this one can be it.
                has_more = False
        if not matched:
            self.near_miss.note(path.key, segment, seen, wrong_kind)

    # ---- what the match rests on ----

    def _note_match(self, key: str) -> None:
        self.matched += 1
        if len(self.candidates) < CANDIDATES_SHOWN or key < self.candidates[-1]:
            insort(self.candidates, key)
            del self.candidates[CANDIDATES_SHOWN:]

    def evidence(self, why: str) -> Evidence:
        return Evidence(self.bucket, tuple(self.listings), self.matched, tuple(self.candidates), why)

    def why_not(self) -> str:
        """Why none of those that match was chosen."""
        return f"{self.matched} match, and no `multiple` says which one to choose"

    def why(self) -> str:
        """Why what was found was chosen."""
        choice = self.pattern.steps[-1].multiple
        if choice == "all":
            return f"all of {self.matched} that match"
        if self.matched == 1:
            return "the only one that matches"
        return f"the {_SUPERLATIVES[choice or '']} of {self.matched} that match"

    # ---- values ----

    def located(self, found: list[_Path]) -> Json:
        values = [self._value(path) for path in found]
        return values if self.pattern.steps[-1].multiple == "all" else values[0]

    def _value(self, path: _Path) -> dict[str, Json]:
        entry = path.entry
        assert entry is not None, "the last step has listed what it found"
        groups = {name: text for fit in path.steps for name, text in fit.named.items()}
        value = located_value(
            self.bucket,
            self.bucket_url,
            entry.key,
            size=entry.size,
            etag=entry.etag,
            modified_at=entry.modified_at,
        )
        return {**value, "matched": [fit.text for fit in path.steps], **groups}


_SUPERLATIVES = {"min": "least", "max": "greatest", "newest": "newest", "oldest": "oldest"}


# ---- choosing --------------------------------------------------------------------------------------------


def _refuse_too_many(paths: list[_Path]) -> None:
    if len(paths) > MATCHES_MAX:
        raise PatternError(f"more than {MATCHES_MAX} paths match; narrow the prefix, or choose with multiple")


def _kept(paths: list[_Path], step: Step) -> list[_Path]:
    """Of the full matches so far those that can still be chosen, so that a million of them need no memory."""
    if step.multiple is None:
        return paths[:2]  # enough to see that there is more than one
    if step.multiple == "all":
        _refuse_too_many(paths)
        return paths
    return paths and [_best_first(paths, step.multiple)[0]]


def _only(paths: list[_Path], step: Step) -> list[_Path]:
    """What the last step chooses; for all of them, in order of their scores."""
    if step.multiple == "all":
        return _best_first(paths, "min")
    if len(paths) > 1:
        raise _SeveralMatch([path.key for path in paths])
    return paths


def _best_first(paths: list[_Path], choice: str) -> list[_Path]:
    if choice in ("newest", "oldest"):
        return sorted(paths, key=_age, reverse=choice == "newest")
    return sorted(paths, key=_rank, reverse=choice == "max")


def _rank(path: _Path) -> tuple[object, str]:
    return path.steps[-1].score, path.key


def _age(path: _Path) -> tuple[int, str]:
    modified_at = path.entry.modified_at if path.entry else None
    return modified_at if modified_at is not None else 0, path.key
