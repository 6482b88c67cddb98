"""Searches of many stages, held together: what several of them want listed is listed once.

A round goes in waves: each distinct listing that some search wants is made, and its pages are fed to all searches
that want it; what they want next is the next wave. Different listings of a wave are made side by side. Questions,
which dependencies ask that are no files, are asked alike: each once a round, and the reply is told to all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from clew.buckets.searching import list_pages
from clew.core.planning.listings import List, Page
from clew.core.planning.patterns import PatternError
from clew.core.planning.questions import Question, Reply
from clew.core.planning.search import Ambiguous, Found, Missing, Search
from clew.core.program.variables import TemplateError
from clew.ports import Ask, Bucket, BucketError, ListingName, NotTold, SearchAnswer, SearchRequest

LISTINGS_AT_ONCE = 8
"""Of one round: enough to hide the way to an object store and back, few enough not to be throttled by it."""

PAGES_KEPT_MAX = 50
"""Pages that a round keeps for searches that come to the same listing later: some megabytes."""

OpenBucket = Callable[[str, Mapping[str, str]], Bucket]

_Key = tuple[Any, ...]
"""Of a listing: bucket (as `_bucket_key` has it), folder and start. Of a question: all that its reply depends on."""


def ask_nobody(question: Question, request: SearchRequest) -> Reply:
    """Where only files can be looked for."""
    raise NotTold(f"nobody answers what is of the kind '{question.kind}' here")


@dataclass(slots=True)
class _Looking:
    """One of the searches. `answer` is None as long as it goes on. `seen`: a digest of all that it was fed, as long as
    that was nothing but pages."""

    request: SearchRequest
    search: Search | None = None
    answer: SearchAnswer | None = None
    listed: list[ListingName] = field(default_factory=list)
    seen: bytes | None = b""

    @property
    def want(self) -> List | Question | None:
        return self.search.want if self.search is not None and self.answer is None else None


@dataclass(slots=True)
class _Round:
    open: OpenBucket
    ask: Ask
    pages: dict[_Key, list[Page]] = field(default_factory=dict)
    """The complete listings of this round that are kept."""
    replies: dict[_Key, Reply] = field(default_factory=dict)


def look_together(
    requests: Sequence[SearchRequest], open: OpenBucket, *, ask: Ask = ask_nobody, probes: bool = False
) -> list[SearchAnswer]:
    """Search for all of them; the answers in the same order. A bucket (or who is asked) that can't answer is the
    answer of those that wanted something of it, and of no others."""
    looking = [_begin(request, probes=probes) for request in requests]
    this = _Round(open, ask)
    groups = _groups(looking)
    if len(groups) <= 1:
        while groups:
            _satisfy(this, *groups.popitem())
            groups = _groups(looking)
    else:
        with ThreadPoolExecutor(min(LISTINGS_AT_ONCE, len(groups)), "search") as pool:
            while groups:
                list(pool.map(lambda item: _satisfy(this, *item), groups.items()))
                groups = _groups(looking)
    return [_answer(one) for one in looking]


def _begin(request: SearchRequest, *, probes: bool) -> _Looking:
    try:
        return _Looking(request, Search(request.dependencies, request.scope, probes=probes))
    except (PatternError, TemplateError) as error:
        return _Looking(request, answer=_unusable(error))


def _groups(looking: Iterable[_Looking]) -> dict[_Key, list[_Looking]]:
    """Those that go on, by what they want."""
    groups: dict[_Key, list[_Looking]] = {}
    for one in looking:
        want = one.want
        if want is not None:
            groups.setdefault(_key_of(want, one.request), []).append(one)
    return groups


def _key_of(want: List | Question, request: SearchRequest) -> _Key:
    if isinstance(want, List):
        return _bucket_key(want.bucket, request.buckets), want.folder, want.start
    params = json.dumps(want.params, sort_keys=True)
    rests_on = [getattr(request, name) for name in want.rests_on]
    return want.kind, params, want.timeout_milliseconds, *rests_on


def _bucket_key(name: str, urls: Mapping[str, str]) -> str:
    """Programs may call one bucket by different names, and different ones by one name."""
    return urls.get(name, name)


def _satisfy(this: _Round, key: _Key, group: list[_Looking]) -> None:
    if isinstance(group[0].want, Question):
        _ask(this, key, group)
    else:
        _list(this, key, group)


def _ask(this: _Round, key: _Key, group: list[_Looking]) -> None:
    """Have one question answered, and tell the group."""
    question = group[0].want
    assert isinstance(question, Question), "a group wants one thing"
    try:
        if key not in this.replies:
            this.replies[key] = this.ask(question, group[0].request)
    except NotTold as error:
        for one in group:
            one.answer = SearchAnswer("error", None, str(error))
        return
    for one in group:
        one.seen = None
        _tell(one, this.replies[key])


def _list(this: _Round, key: _Key, group: list[_Looking]) -> None:
    """Make one listing and feed it to the group, as far as any of them wants it."""
    wants = [(one, one.want) for one in group]
    try:
        for page in _pages(this, key, group[0]):
            wants = [(one, want) for one, want in wants if _feed(one, want, page)]
            if not wants:
                return
    except BucketError as error:
        for one, _ in wants:
            one.answer = SearchAnswer("error", None, str(error))


def _pages(this: _Round, key: _Key, first: _Looking) -> Iterable[Page]:
    kept = this.pages.get(key)
    if kept is not None:
        yield from kept
        return
    want = first.want
    assert isinstance(want, List), "a group wants one thing"
    seen: list[Page] | None = []
    for page in list_pages(this.open(want.bucket, first.request.buckets), want):
        if seen is not None and len(seen) + sum(map(len, list(this.pages.values()))) < PAGES_KEPT_MAX:
            seen.append(page)
        else:
            seen = None  # a listing of a million entries is not held
        if seen is not None and not page.has_more:
            this.pages[key] = seen
        yield page


def _feed(one: _Looking, want: List | Question | None, page: Page) -> bool:
    """Whether it wants the next page too."""
    assert isinstance(want, List), "a group wants one thing"
    name = ListingName(page.bucket_url, want.folder, want.start)
    if not one.listed or one.listed[-1] != name:
        one.listed.append(name)
    if one.seen is not None:
        one.seen = sha256(one.seen + page.digest).digest()
    _tell(one, page)
    return one.want is want


def _tell(one: _Looking, told: Page | Reply) -> None:
    assert one.search is not None, "whoever wants something has begun"
    try:
        one.search.feed(told)
    except (PatternError, TemplateError) as error:
        one.answer = _unusable(error)


def _unusable(error: Exception) -> SearchAnswer:
    return SearchAnswer("ambiguous", None, str(error))


def _answer(one: _Looking) -> SearchAnswer:
    if one.answer is not None:
        return one.answer
    assert one.search is not None and one.search.outcome is not None, "a search that wants nothing has ended"
    outcome = one.search.outcome
    if isinstance(outcome, Found):
        evidence = {name: each.document() for name, each in outcome.evidence.items()}
        return SearchAnswer("found", outcome.values, "", evidence, tuple(one.listed))
    evidence = {outcome.name: outcome.evidence.document()}
    if isinstance(outcome, Missing):
        message = f"{outcome.name}: {outcome.how_near}"
        return SearchAnswer("missing", None, message, evidence, tuple(one.listed), one.seen or b"")
    assert isinstance(outcome, Ambiguous)
    what = f"{outcome.name}: {outcome.evidence.why}: {', '.join(outcome.keys)}"
    return SearchAnswer("ambiguous", None, what, evidence, tuple(one.listed))
