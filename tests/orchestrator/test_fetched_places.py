"""Places are read again and again, off the event loop; what was read well counts until something else is."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.orchestrator.on_time import on_a_loop

from clew import fetched_places
from clew.core.program.program_places import BucketPlace
from clew.fetched_places import TOLD_MAX, FetchedPlaces
from clew.orchestrator.real_world import RealClock
from clew.ports import BucketError
from clew.sources.cache import SourceCache
from clew.sources.deadlines import Deadline
from clew.sources.program_trees import ProgramTrees, Tree

PLACE = BucketPlace("code", every=0)
"""It is read as soon as it has been."""


class Answers:
    """What fetching gives, one answer after the other; the last one again and again."""

    def __init__(self, *answers: Tree | BaseException) -> None:
        self._answers = list(answers)

    def __call__(self, place: object, last: Tree | None, deadline: Deadline) -> Tree:
        assert threading.current_thread() is not threading.main_thread()
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer


class Reading:
    """The place is read; `told` has what was told of it, whenever there was news."""

    def __init__(self, folder: Path, fetch: Callable[..., Tree]) -> None:
        self.told: list[tuple[list[str], str | None, bool]] = []
        self.news = asyncio.Event()
        trees = ProgramTrees(str(folder / "programs"), SourceCache(""))
        self.places = FetchedPlaces([PLACE], fetch=fetch, trees=trees, clock=RealClock(), has_news=self.tell)

    def tell(self) -> None:
        problem = self.places.problem_of(PLACE)
        names = [source.name for source in self.places.sources_of(PLACE)]
        self.told.append((names, None if problem is None else str(problem), self.places.is_known(PLACE)))
        self.news.set()

    async def until(self, count: int) -> None:
        while len(self.told) < count:
            await self.news.wait()
            self.news.clear()


def tree(folder: Path, name: str) -> Tree:
    (folder / name).mkdir()
    (folder / name / f"{name}.yaml").write_text("")
    return Tree(str(folder / name), name)


@on_a_loop
async def test_news_are_told_once(tmp_path: Path) -> None:
    """What is the same is none. While a place can't be read what it held is known, and that this may have changed."""
    one, two = tree(tmp_path, "one"), tree(tmp_path, "two")
    away = BucketError("away")
    answers = Answers(away, away, one, one, away, away, one, two)

    reading = Reading(tmp_path, answers)
    reading.places.start()
    await reading.places.first()
    await reading.until(5)
    reading.places.stop()
    assert reading.told == [
        ([], "code: away", False),
        (["code/one.yaml"], None, True),
        (["code/one.yaml"], "code: away", False),
        (["code/one.yaml"], None, True),
        (["code/two.yaml"], None, True),
    ]


@on_a_loop
async def test_reasons_that_differ_each_time_are_not_told_for_ever(tmp_path: Path) -> None:
    """Some have the number of the request in them; once the place was read well, they are told again."""
    one = tree(tmp_path, "one")
    reasons = [BucketError(f"request {number}") for number in range(TOLD_MAX + 3)]
    answers = Answers(*reasons, OSError(28, "No space left on device"), one, reasons[-1])

    reading = Reading(tmp_path, answers)
    reading.places.start()
    await reading.until(TOLD_MAX + 2)
    reading.places.stop()
    said = [problem for _, problem, _ in reading.told]
    assert said == [*(f"code: request {number}" for number in range(TOLD_MAX)), None, f"code: {reasons[-1]}"]


@on_a_loop
async def test_a_cadence_says_when_it_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the clock on the wall, also where that jumps: here to the next time of the cadence, while it is waited for."""

    class Jumping:
        """Stands still, unless it is set."""

        at = 0

        def now(self) -> int:
            return self.at

    monkeypatch.setattr(fetched_places, "SLEEP_MILLISECONDS_MAX", 1)
    place = BucketPlace("code", cadence="0 0 1 * *")
    clock, one, two = Jumping(), tree(tmp_path, "one"), tree(tmp_path, "two")
    news = asyncio.Event()
    places = FetchedPlaces(
        [place],
        fetch=Answers(one, two),
        trees=ProgramTrees(str(tmp_path / "programs"), SourceCache("")),
        clock=clock,
        has_news=news.set,
    )
    places.start()
    for name in ("one", "two"):
        await news.wait()
        news.clear()
        assert [source.name for source in places.sources_of(place)] == [f"code/{name}.yaml"]
        clock.at = 31 * 86_400_000
    places.stop()


@on_a_loop
async def test_an_error_of_our_own_ends_it(tmp_path: Path) -> None:
    """It is no trouble of the place's, and whoever watches is told."""
    reading = Reading(tmp_path, Answers(ValueError("a bug")))
    reading.places.check()
    reading.places.start()
    with pytest.raises(ValueError, match="a bug"):
        await reading.places.failed
    with pytest.raises(ValueError, match="a bug"):
        reading.places.check()


@on_a_loop
async def test_what_is_needed_is_asked_for_when_something_has_come(tmp_path: Path) -> None:
    """And not before; where it can't be said, it is asked for again."""
    one = tree(tmp_path, "one")

    reading = Reading(tmp_path, Answers(one))
    asked = []

    def needed() -> list[str]:
        asked.append(1)
        if len(asked) == 1:
            raise LookupError
        return []

    await reading.places.tidy(needed)
    assert not asked
    reading.places.start()
    await reading.until(1)
    with pytest.raises(LookupError):
        await reading.places.tidy(needed)
    await reading.places.tidy(needed)
    await reading.places.tidy(needed)
    reading.places.stop()
    assert len(asked) == 2


@on_a_loop
async def test_who_asks_has_it_read_again_at_once(tmp_path: Path) -> None:
    """And hears of it, though nothing is new there; by the number he knows that it was read after he asked."""
    for pace in ({"every": 86_400_000}, {"cadence": "0 0 1 1 *"}):
        place, news = BucketPlace("code", **pace), asyncio.Event()
        places = FetchedPlaces(
            [place],
            fetch=Answers(tree(tmp_path, next(iter(pace)))),
            trees=ProgramTrees(str(tmp_path / "programs"), SourceCache("")),
            clock=RealClock(),
            has_news=news.set,
        )
        places.start()
        await news.wait()
        for _ in range(2):
            news.clear()
            asked = places.ask(place)
            assert places.last_of(place) <= asked
            await news.wait()
            assert places.last_of(place) > asked
        places.stop()


@on_a_loop
async def test_who_stops_waits_for_no_place(tmp_path: Path) -> None:
    """Fetching is called off, though nobody waits until it has ended."""
    called, ended = threading.Event(), threading.Event()

    def fetch(place: object, last: Tree | None, deadline: Deadline) -> Tree:
        called.set()
        try:
            while True:
                deadline.check()
        finally:
            ended.set()

    reading = Reading(tmp_path, fetch)
    reading.places.start()
    await asyncio.to_thread(called.wait)
    reading.places.stop()
    await asyncio.to_thread(ended.wait)
