"""Searches of many stages held together: each comes to what it would come to alone, and listings are shared."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator, Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from clew.buckets import rounds
from clew.buckets.memory import MemoryBucket
from clew.buckets.rounds import look_together
from clew.core.planning.listings import Page
from clew.core.planning.questions import Question, Reply
from clew.core.program.model import (
    AskedDependency,
    Dependency,
    Element,
    ProgramDependency,
    VariableDependency,
)
from clew.ports import BucketError, NotTold, ObjectFacts, SearchRequest


class Counting(MemoryBucket):
    """Counts its listings by folder and start; `broken` is a folder in which it can't answer."""

    def __init__(self, url: str, broken: str | None = None) -> None:
        super().__init__(url)
        self.listings: Counter[tuple[str, str]] = Counter()
        self._broken = broken

    def list_folder(self, folder: str, start: str = "") -> Iterator[ObjectFacts | str]:
        self.listings[folder, start] += 1
        if folder == self._broken:
            raise BucketError("503")
        return super().list_folder(folder, start)


def request(*prefix: Element, bucket: str = "lines", name: str = "file") -> SearchRequest:
    return SearchRequest(
        (Dependency(name, bucket, prefix),), {}, {"lines": "memory:lines", "same": "memory:lines"}
    )


def opening(*buckets: MemoryBucket):
    by_url = {bucket.url: bucket for bucket in buckets}

    def open(name: str, urls: Mapping[str, str]) -> MemoryBucket:
        return by_url[urls.get(name, name)]

    return open


NUMBERED = Element(r"f(\d+)$", "regex", "max")


def test_what_many_want_listed_is_listed_once():
    """A thousand searches in ten folders cost ten listings, also where the programs call the bucket differently."""
    bucket = Counting("memory:lines")
    for number in range(5):
        bucket.write(f"p{number}/f1", b"")
    requests = [
        request(Element(f"p{number % 10}"), NUMBERED, bucket=("lines", "same", "memory:lines")[number % 3])
        for number in range(1_000)
    ]
    answers = look_together(requests, opening(bucket))
    assert bucket.listings == {(f"p{number}/", "f"): 1 for number in range(10)}
    assert [one.verdict for one in answers] == [
        "found" if number % 10 < 5 else "missing" for number in range(1_000)
    ]


def test_a_listing_that_another_search_comes_to_later_is_not_made_again():
    """Also in a later wave: here one search needs two listings to get where the other begins."""
    bucket = Counting("memory:lines")
    bucket.write("p1/f7", b"")
    answers = look_together(
        [request(Element("p1"), NUMBERED), request(Element("p", "regex"), NUMBERED)], opening(bucket)
    )
    assert [one.found["file"]["key"] for one in answers if one.found] == ["p1/f7", "p1/f7"]
    assert bucket.listings == {("p1/", "f"): 1, ("", "p"): 1}


def test_a_bucket_that_cannot_answer_is_the_answer_of_those_that_asked():
    """An error is never taken for something missing, and other searches come to their end."""
    bucket = Counting("memory:lines", broken="p1/")
    bucket.write("p2/f1", b"")
    answers = look_together(
        [request(Element(f"p{number}"), NUMBERED) for number in (1, 2, 3)], opening(bucket)
    )
    assert [(one.verdict, one.message) for one in answers] == [
        ("error", "503"),
        ("found", ""),
        ("missing", r"file: in `p3` no name matches `f(\d+)$`"),
    ]


def test_a_pattern_that_cannot_be_followed_is_nobody_elses_trouble():
    """What can't be rendered or followed with a run's values fails that run's stage alone."""
    bucket = Counting("memory:lines")
    bucket.write("p2/f1", b"")
    wrong = request(Element("{nothing}"))
    answers = look_together([wrong, request(Element("p2"), NUMBERED)], opening(bucket))
    assert [one.verdict for one in answers] == ["ambiguous", "found"]


def test_who_misses_something_is_told_in_which_listings():
    """So that those who wait for the same can look together."""
    bucket = Counting("memory:lines")
    (answer,) = look_together([request(Element("p1"), NUMBERED)], opening(bucket))
    assert answer.listed == (("memory:lines", "p1/", "f"),)


NAMES = st.sampled_from(["a", "b", "f1", "f2"])
ELEMENTS = st.builds(
    Element,
    st.sampled_from(["a", "b", "f1", r"f\d$", ".", "[ab]"]),
    st.just("regex"),
    st.sampled_from([None, "min", "max"]),
)


@settings(max_examples=100)
@given(
    st.sets(st.lists(NAMES, min_size=1, max_size=3).map("/".join), max_size=10),
    st.lists(st.lists(ELEMENTS, min_size=1, max_size=3), min_size=1, max_size=6),
    st.booleans(),
)
def test_together_each_comes_to_what_it_comes_to_alone(keys, prefixes, probes):
    """Whatever the others want, a search's answer is its own."""
    bucket = Counting("memory:lines")
    for key in keys:
        bucket.write(key, b"")
    requests = [request(*prefix) for prefix in prefixes]
    together = look_together(requests, opening(bucket), probes=probes)
    assert max(bucket.listings.values()) == 1
    alone = [look_together([one], opening(bucket), probes=probes)[0] for one in requests]
    assert together == alone


def test_a_listing_of_very_many_is_not_held(monkeypatch):
    """Only what few pages hold is kept for whoever comes to the same listing later."""
    monkeypatch.setattr(rounds, "PAGES_KEPT_MAX", 3)
    held: list[int] = []

    class Large(MemoryBucket):
        def list_folder(self, folder: str, start: str = "") -> Iterator[ObjectFacts | str]:
            for number in range(10_500):
                if number == 10_400:
                    held.append(sum(isinstance(one, Page) for one in gc.get_objects()))
                yield ObjectFacts(f"in/f{number:05}", 1, "e", 0)

    wanted = request(Element("in"), NUMBERED)
    (answer,) = look_together([wanted], opening(Large("memory:lines")))
    assert answer.verdict == "found"
    assert held[0] <= 5


# ---- questions -------------------------------------------------------------------------------------------


def of(*dependencies, **about) -> SearchRequest:
    return SearchRequest(dependencies, {}, {"lines": "memory:lines"}, **about)


class Asked:
    """Answers with the kind and the run; keeps what it was asked. `broken` is a kind that can't be told."""

    def __init__(self, broken: str = "") -> None:
        self.questions: list[tuple[str, str]] = []
        self._broken = broken

    def __call__(self, question: Question, request: SearchRequest) -> Reply:
        self.questions.append((question.kind, request.run_id))
        if question.kind == self._broken:
            raise NotTold("connection reset")
        return Reply(True, {"key": "f1", "of": request.run_id}, "it is there")


def test_what_many_ask_is_asked_once():
    """Where the reply is the same for all; what rests on who asks is asked for each. Listings are shared as ever."""
    bucket, asked = Counting("memory:lines"), Asked()
    bucket.write("f1", b"")
    total, loads = VariableDependency("total", "adds", "sum"), ProgramDependency("loads", "loads")
    file = Dependency("file", "lines", (Element("{total.key}"),))
    requests = [of(file, total, loads, run_id=f"r{number % 2}") for number in range(100)]
    answers = look_together(requests, opening(bucket), ask=asked)
    assert sorted(asked.questions) == [("program", "r0"), ("program", "r1"), ("variable", "r0")]
    assert bucket.listings == {("", "f1"): 1}
    for number, answer in enumerate(answers):
        assert (answer.verdict, answer.found["file"]["key"]) == ("found", "f1")
        assert answer.found["loads"]["of"] == f"r{number % 2}"
        assert answer.evidence["loads"] == {"kind": "program", "why": "it is there"}


def test_a_reply_is_kept_for_those_who_ask_later_in_the_round():
    """One comes to the question at once, another by way of a listing."""
    bucket, asked = Counting("memory:lines"), Asked()
    bucket.write("adds", b"")
    program = Dependency("who", "lines", (Element("adds"),))
    later = of(program, VariableDependency("total", "{who.name}", "sum"))
    answers = look_together(
        [of(VariableDependency("total", "adds", "sum")), later], opening(bucket), ask=asked
    )
    assert [one.verdict for one in answers] == ["found", "found"]
    assert asked.questions == [("variable", "")]


def test_who_can_not_answer_is_the_answer_of_those_that_asked():
    """That is an error, and nothing missing; others come to their end."""
    asked = Asked(broken="market")
    market, total = AskedDependency("m", "market", {"a": 1}, 500), VariableDependency("total", "adds", "sum")
    answers = look_together([of(market), of(total), of(total, market)], opening(), ask=asked)
    assert [one.verdict for one in answers] == ["error", "found", "error"]
    assert (answers[0].message, answers[0].found) == ("connection reset", None)
    (answer,) = look_together([of(total)], opening())
    assert (answer.verdict, answer.message) == ("error", "nobody answers what is of the kind 'variable' here")


def test_what_a_value_makes_unusable_is_told():
    """A name that is no text can't be looked for again either: what asks for it fails."""
    broken = VariableDependency("other", "{total}", "sum")
    total = VariableDependency("total", "adds", "sum")
    (answer,) = look_together([of(total, broken)], opening(), ask=Asked())
    assert (answer.verdict, answer.message) == ("ambiguous", "the program of 'other' is dict, not a name")
