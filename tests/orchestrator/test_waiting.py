"""Stages that wait for their data hold no worker, cost one listing per distinct prefix and round, and miss nothing."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from typing import Any

import msgspec
import pytest
from tests.object_stores.listing import ListingStore
from tests.object_stores.serving import ENVIRONMENT

from clew.buckets.file import FileBucket
from clew.buckets.memory import MemoryBucket, memory_bucket
from clew.core.program.model import AskedDependency, Dependency, Element, Retry, VariableDependency
from clew.core.running.entries import DependenciesFound, StageWaiting
from clew.core.running.instructions import Instruction
from clew.orchestrator import gathering, waiting
from clew.orchestrator.driven_run import DrivenRun, Origin
from clew.orchestrator.facts import Instructed, Searched
from clew.orchestrator.orchestrator import Orchestrator
from clew.orchestrator.waiting import round_of, unsettled_among
from clew.ports import BucketError, ObjectFacts, SearchAnswer, SearchRequest
from clew.settings import read_settings
from clew.wiring import open_orchestrator, read_document
from clew.wiring.programs import seal
from clew.wiring.records import search_dependencies


@pytest.fixture
def listings(monkeypatch) -> Counter[tuple[str, str]]:
    """How often each folder was listed in any memory bucket."""
    counted: Counter[tuple[str, str]] = Counter()
    listed = MemoryBucket.list_folder

    def list_folder(self: MemoryBucket, folder: str, start: str = "") -> Iterator[ObjectFacts | str]:
        counted[folder, start] += 1
        return listed(self, folder, start)

    monkeypatch.setattr(MemoryBucket, "list_folder", list_folder)
    return counted


def program(stages: int, prefixes: int, bucket: str, delay: str, **said: str) -> Any:
    """So many stages beside each other, each of which waits for one file below one of so many prefixes."""
    numbered = {"match": r"f(\d+)$", "type": "regex", "multiple": "max"}
    return seal(
        read_document(
            {
                "name": "waiting",
                "delay": delay,
                **said,
                "stages": [
                    {
                        "name": f"s{number}",
                        "dependencies": {
                            f"d{number}": {
                                "bucket": bucket,
                                "prefix": [{"match": f"p{number % prefixes}"}, numbered],
                            }
                        },
                        "execute": {"command": "python", "params": ["os:getpid"]},
                        "rollback": "none",
                    }
                    for number in range(stages)
                ],
            }
        )
    )


@asynccontextmanager
async def orchestrator(tmp_path, searcher=None):
    settings = read_settings(folder=str(tmp_path), environment={})
    functions = {"os:getpid": os.getpid}
    async with open_orchestrator(settings, functions=functions, searcher=searcher) as opened:
        yield opened


class Looks:
    """Sees the looks of runs as they are recorded."""

    def __init__(self) -> None:
        self.count: Counter[tuple[str, str]] = Counter()
        self._seen = asyncio.Event()

    def __call__(self, entry: Any, state: Any) -> None:
        if isinstance(entry.body, StageWaiting):
            self.count[state.run_id, entry.body.stage] += 1
            self._seen.set()

    async def until(self, each: int, stages: int) -> None:
        """Until each of so many stages has looked so often."""
        while len(self.count) < stages or min(self.count.values()) < each:
            self._seen.clear()
            await self._seen.wait()


def begin(opened: Orchestrator, sealed: Any, looks: Looks) -> DrivenRun:
    return opened.create(sealed, {}, requested_by="test", origin=Origin(), observer=looks)


class Rounds:
    """Searches as clew does, and sees who looked in each round, and how many listings that took."""

    def __init__(self, listings: Counter[tuple[str, str]]) -> None:
        self.held: list[tuple[list[str], int]] = []
        """Of each round the runs for whose stages was looked, and the number of listings."""
        self._listings = listings
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def __call__(self, requests: Sequence[SearchRequest]) -> Sequence[SearchAnswer]:
        before = self._listings.total()
        answers = search_dependencies(requests)
        self.held.append(([request.run_id for request in requests], self._listings.total() - before))
        self._loop.call_soon_threadsafe(self._news.set)
        return answers

    async def after(self, first: int, looks: int) -> list[tuple[list[str], int]]:
        """The rounds from that one on, once so many have looked in them."""
        while sum(len(runs) for runs, _ in self.held[first:]) < looks:
            self._news.clear()
            await self._news.wait()
        return self.held[first:]


def test_of_stages_that_have_seen_the_same_one_looks_for_all(tmp_path, listings):
    """However many they are, each has a look of its own, on record; then a regular look costs one search and one
    listing per distinct prefix, and no entry, until there is something else to be seen."""

    async def story() -> tuple[str, list[tuple[list[str], int]], list[tuple[list[str], int]], int]:
        rounds = Rounds(listings)
        async with orchestrator(tmp_path, rounds) as opened, asyncio.timeout(60):
            looks = Looks()
            run = begin(opened, program(400, 20, "memory:one-run", "300 milliseconds"), looks)
            await looks.until(1, 400)
            own, looked = rounds.held[:2], looks.count.total()
            later = await rounds.after(2, 60)
            looked = looks.count.total()
            for number in range(20):
                memory_bucket("memory:one-run").write(f"p{number}/f1", b"")
            await opened.rested(run)
            return run.state.status, own, later, looked

    status, own, later, looked = asyncio.run(story())
    assert (status, looked) == ("completed", 400)
    assert sum(len(runs) for runs, _ in own) == 400 and sum(listed for _, listed in own) <= 2 * 20
    assert all(len(runs) == listed for runs, listed in later)


def test_runs_that_began_at_different_times_come_to_look_together(tmp_path, listings):
    """Their first looks are their own; from then on one of them looks for all, and all hear of it when that changes."""

    async def story() -> tuple[set[str], list[str]]:
        rounds = Rounds(listings)
        async with orchestrator(tmp_path, rounds) as opened, asyncio.timeout(60):
            looks = Looks()
            sealed = program(2, 2, "memory:many-runs", "600 milliseconds")
            runs = []
            for number in range(1, 13):
                runs.append(begin(opened, sealed, looks))
                await looks.until(1, 2 * number)
            later = await rounds.after(len(rounds.held), 6)
            memory_bucket("memory:many-runs").write("p0/f-other", b"")
            for number in range(2):
                memory_bucket("memory:many-runs").write(f"p{number}/f1", b"")
            for run in runs:
                await opened.rested(run)
            return {run_id for runs, _ in later for run_id in runs}, [run.state.status for run in runs]

    looked_for_all, statuses = asyncio.run(story())
    assert len(looked_for_all) == 1
    assert statuses == ["completed"] * 12


def test_who_looked_for_all_may_go(tmp_path, listings):
    """Then another one does; and when nobody waits any more, nobody looks."""

    async def story() -> tuple[list[set[str]], int]:
        rounds = Rounds(listings)
        async with orchestrator(tmp_path, rounds) as opened, asyncio.timeout(60):
            looks = Looks()
            sealed = program(1, 1, "memory:who-goes", "100 milliseconds")
            runs = [begin(opened, sealed, looks) for _ in range(3)]
            await looks.until(1, 3)
            looked: list[set[str]] = []
            for run in runs:
                first = len(rounds.held) + 1  # one may be under way
                later = await rounds.after(first, 2)
                looked.append({run_id for runs, _ in later[1:] for run_id in runs})
                opened.driver.notice(run, Instructed("", Instruction("stop", "test")))
                await opened.rested(run)
            return looked, len(opened.driver.runs)

    looked, left = asyncio.run(story())
    assert [len(each) for each in looked] == [1, 1, 1] and len(set.union(*looked)) == 3
    assert left == 0


def test_a_stage_for_which_another_looks_waits_no_longer_than_it_may(tmp_path):
    """Each has its own end, at which it looks itself for the last time."""

    async def story() -> tuple[list[str], int]:
        async with orchestrator(tmp_path) as opened, asyncio.timeout(60):
            looks = Looks()
            waits = program(1, 1, "memory:waits-no-longer", "100 milliseconds", backfill="500 milliseconds")
            runs = [begin(opened, waits, looks) for _ in range(3)]
            for run in runs:
                await opened.rested(run)
            return [run.state.status for run in runs], looks.count.total()

    assert asyncio.run(story()) == (["missed"] * 3, 3)


def test_a_bucket_that_can_not_be_asked_for_all_is_asked_by_each(tmp_path, monkeypatch):
    """Its error is on record of each of them, and each asks again soon, however long the delay between two looks."""
    monkeypatch.setattr(gathering, "BUCKET_ERRORS", Retry(delay_milliseconds=1))
    listed = MemoryBucket.list_folder
    troubles: list[BucketError] = []

    def list_folder(self: MemoryBucket, folder: str, start: str = "") -> Iterator[ObjectFacts | str]:
        if troubles:
            raise troubles.pop()
        return listed(self, folder, start)

    monkeypatch.setattr(MemoryBucket, "list_folder", list_folder)

    async def story() -> list[str]:
        async with orchestrator(tmp_path) as opened, asyncio.timeout(60):
            looks = Looks()
            sealed = program(1, 1, "memory:fails-for-all", "100 milliseconds")
            runs = [begin(opened, sealed, looks) for _ in range(3)]
            await looks.until(1, 3)
            troubles.extend(BucketError("503 Slow Down") for _ in range(5))
            await looks.until(2, 3)
            memory_bucket("memory:fails-for-all").write("p0/f1", b"")
            for run in runs:
                await opened.rested(run)
            return [run.state.status for run in runs]

    assert asyncio.run(story()) == ["completed"] * 3


def test_a_bucket_that_cannot_answer_is_never_something_missing(tmp_path, monkeypatch):
    """The stage waits, says what the bucket said, asks again by itself, and goes on when there is an answer."""
    listed = MemoryBucket.list_folder
    troubles = [BucketError("503 Slow Down"), BucketError("timed out")]

    def list_folder(self: MemoryBucket, folder: str, start: str = "") -> Iterator[ObjectFacts | str]:
        if troubles:
            raise troubles.pop(0)
        return listed(self, folder, start)

    monkeypatch.setattr(MemoryBucket, "list_folder", list_folder)
    monkeypatch.setattr(gathering, "BUCKET_ERRORS", Retry(delay_milliseconds=20))
    memory_bucket("memory:troubled").write("p0/f1", b"")

    async def story() -> tuple[str, int]:
        async with orchestrator(tmp_path) as opened:
            looks = Looks()
            run = begin(opened, program(1, 1, "memory:troubled", "1 hour"), looks)
            await opened.rested(run)
            return run.state.status, looks.count.total()

    assert asyncio.run(story()) == ("completed", 2)


# ---- what was found, and what has become of it since -----------------------------------------------------


def seeking(bucket: str, execute: Any, delay: Any = "20 milliseconds", **more: Any) -> Any:
    """One stage that takes the greatest of the numbered files."""
    dependency = {
        "bucket": bucket,
        "prefix": [{"match": "in"}, {"match": r"f(\d+)$", "type": "regex", "multiple": "max"}],
        **more,
    }
    stage = {"name": "take", "dependencies": {"file": dependency}, "execute": execute, "rollback": "none"}
    return seal(read_document({"name": "seeking", "delay": delay, "stages": [stage]}))


def taken(opened: Orchestrator, sealed: Any, observer: Any) -> DrivenRun:
    return opened.create(sealed, {}, requested_by="test", origin=Origin(), observer=observer)


EXECUTED = {
    "in this process": {"command": "python", "params": ["os:getpid"]},
    "in a process of its own": {"command": "copy_file", "params": ["{file}", "here/out"]},
}


@pytest.mark.parametrize("change", ["changed", "gone"])
@pytest.mark.parametrize("where", EXECUTED)
def test_an_object_that_changes_between_search_and_use_fails_the_stage(tmp_path, where, change):
    """What the journal names is what is worked on, or nothing is: the attempt fails as `input changed`."""
    (tmp_path / "clew.toml").write_text('buckets = {here = "file:data"}')
    bucket = FileBucket(str(tmp_path / "data"))
    bucket.write("in/f1", b"as it was found")

    def observer(entry: Any, state: Any) -> None:
        if isinstance(entry.body, DependenciesFound):
            bucket.write("in/f1", b"another") if change == "changed" else bucket.delete("in/f1")

    async def story() -> tuple[str, Any]:
        async with orchestrator(tmp_path) as opened:
            run = taken(opened, seeking("here", EXECUTED[where]), observer)
            await opened.rested(run)
            (payload,) = (
                msgspec.json.decode(row.content)
                for row in opened.store.payloads(run.state.run_id)
                if row.content and "error" in row.content
            )
            return run.state.status, payload["error"]

    status, error = asyncio.run(story())
    assert status == "rolled_back"
    assert error["kind"] == "input_changed"
    assert error["message"].startswith("input changed: 'in/f1' of here ")
    assert bucket.facts("out") is None


@pytest.mark.parametrize(
    ("items", "is_changed", "ends"),
    [
        ("{file}", False, ["completed", "completed"]),
        ("{file}", True, ["completed", "failed"]),
        (["a", {"bucket": 1, "key": 2, "etag": 3}], False, ["completed", "completed"]),
        (["a", "b"], True, ["failed"]),
    ],
)
def test_items_are_done_with_what_was_found(tmp_path, items, is_changed, ends):
    """Each with its own file, or with all of them where it is done for other values, whatever these look like."""
    url = f"memory:{tmp_path.name}"
    bucket = memory_bucket(url)
    bucket.write("in/f1", b"1")
    bucket.write("in/f2", b"2")

    def observer(entry: Any, state: Any) -> None:
        if isinstance(entry.body, DependenciesFound) and is_changed:
            bucket.write("in/f2", b"another")

    async def story() -> list[str]:
        async with orchestrator(tmp_path) as opened:
            stage = {
                "name": "take",
                "dependencies": {
                    "file": {
                        "bucket": url,
                        "prefix": [{"match": "in"}, {"match": "f", "type": "regex", "multiple": "all"}],
                    }
                },
                "for_each": items,
                "max_parallel": 1,
                "execute": EXECUTED["in this process"],
                "rollback": "none",
                "retry": {"attempts": 1},
            }
            run = taken(opened, seal(read_document({"name": "items", "stages": [stage]})), observer)
            await opened.rested(run)
            return [outcome for item in run.state.stages["take"].units for outcome in item.outcomes]

    assert asyncio.run(story()) == ends


def test_the_journal_has_what_a_match_rests_on(tmp_path):
    """What was listed, how many matched, and why this one was chosen stand beside the value."""
    bucket = memory_bucket("memory:evidence")
    for number in (1, 2, 10):
        bucket.write(f"in/f{number}", b"")

    async def story() -> Any:
        async with orchestrator(tmp_path) as opened:
            run = taken(opened, seeking("memory:evidence", EXECUTED["in this process"]), None)
            await opened.rested(run)
            (payload,) = (
                msgspec.json.decode(row.content)
                for row in opened.store.payloads(run.state.run_id)
                if row.content and "evidence" in row.content
            )
            return payload

    payload = asyncio.run(story())
    assert payload["variables"]["file"]["key"] == "in/f10"
    evidence = payload["evidence"]["file"]
    (listing,) = evidence.pop("listings")
    assert len(listing.pop("digest")) == 64
    assert listing == {"folder": "in/", "start": "f", "count": 3}
    assert evidence == {
        "bucket": "memory:evidence",
        "more_listings": 0,
        "matched": 3,
        "candidates": ["in/f1", "in/f10", "in/f2"],
        "why": "the greatest of 3 that match",
    }


def test_an_object_that_is_still_being_written_is_not_taken(tmp_path):
    """With `stable_for` it is taken once two looks so far apart have seen the same, and as it was then."""
    bucket = memory_bucket("memory:growing")
    bucket.write("in/f1", b"be")
    writes = [b"begin", b"beginning"]

    def write_on(entry: Any, state: Any) -> None:
        if isinstance(entry.body, StageWaiting) and writes:
            bucket.write("in/f1", writes.pop(0))

    async def story() -> tuple[str, Any, list[str]]:
        async with orchestrator(tmp_path) as opened:
            sealed = seeking("memory:growing", EXECUTED["in this process"], stable_for="30 milliseconds")
            run = taken(opened, sealed, write_on)
            await opened.rested(run)
            said = [
                msgspec.json.decode(row.content).get("unsettled")
                for row in opened.store.payloads(run.state.run_id)
                if row.content
            ]
            return (
                run.state.status,
                run.values["file"],
                [one for one in said if one],
            )

    status, value, said = asyncio.run(story())
    assert status == "completed"
    assert value["size"] == len(b"beginning")
    assert len(said) >= 3
    assert said[0] == (
        "file: 'in/f1' may still be being written; it is taken once it has been seen unchanged for 0.03 seconds"
    )


def test_a_file_that_comes_is_seen_before_the_next_look(tmp_path):
    """A folder tells by itself: a stage that would look again in an hour goes on at once."""
    (tmp_path / "clew.toml").write_text('buckets = {here = "file:data"}')
    bucket = FileBucket(str(tmp_path / "data"))

    def supply(entry: Any, state: Any) -> None:
        if isinstance(entry.body, StageWaiting) and entry.body.look == 1:
            asyncio.get_running_loop().call_soon(bucket.write, "in/f1", b"x")

    async def story() -> str:
        async with orchestrator(tmp_path) as opened:
            sealed = seeking("here", EXECUTED["in this process"], delay="1 hour")
            run = taken(opened, sealed, supply)
            await opened.rested(run)
            return run.state.status

    assert asyncio.run(story()) == "completed"


# ---- looks that are not lost, and looks that are not worth an entry --------------------------------------


LONG_AFTER_THE_SECOND = {"first": "100 milliseconds", "growth": 1_000}
"""A delay with which the third look would be minutes away."""


@pytest.fixture
def after_look(monkeypatch) -> dict[int, Any]:
    """What is done right after the so-maniest listing of a folder was made, and before anybody has seen it; by a
    bucket's thread."""
    done: dict[int, Any] = {}
    listed, numbers = FileBucket.list_folder, count(1)

    def list_folder(self: FileBucket, folder: str, start: str = "") -> Iterator[ObjectFacts | str]:
        found = list(listed(self, folder, start))
        act = done.get(next(numbers))
        if act is not None:
            act()
        return iter(found)

    monkeypatch.setattr(FileBucket, "list_folder", list_folder)
    return done


def test_what_comes_while_a_stage_looks_is_seen(tmp_path, after_look):
    """The folder tells while the look is under way that has listed it already."""
    (tmp_path / "clew.toml").write_text('buckets = {here = "file:data"}')
    bucket = FileBucket(str(tmp_path / "data"))
    bucket.write("in/other", b"")
    os.utime(tmp_path / "data" / "in", (0, 0))  # long before the first look

    async def story() -> str:
        loop = asyncio.get_running_loop()

        def come() -> None:
            bucket.write("in/f1", b"x")
            for _ in range(5):  # rounds of the loop, in which it hears of that
                asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result()

        after_look[2] = come
        async with orchestrator(tmp_path) as opened, asyncio.timeout(60):
            sealed = seeking("here", EXECUTED["in this process"], delay=LONG_AFTER_THE_SECOND)
            run = taken(opened, sealed, None)
            await opened.rested(run)
            return run.state.status

    assert asyncio.run(story()) == "completed"


def test_looks_that_a_busy_folder_brings_about_are_not_recorded(tmp_path, after_look, monkeypatch):
    """Each would be an entry that says what the last one said, and put the next regular look off."""
    monkeypatch.setattr(waiting, "EVENTS_APART_MILLISECONDS", 10)
    (tmp_path / "clew.toml").write_text('buckets = {here = "file:data"}')
    bucket = FileBucket(str(tmp_path / "data"))
    bucket.write("in/f-first", b"")
    for number in range(1, 10):
        after_look[number] = partial(bucket.write, f"in/f-{number}", b"")
    after_look[10] = partial(bucket.write, "in/f1", b"")

    async def story() -> tuple[str, int]:
        async with orchestrator(tmp_path) as opened, asyncio.timeout(60):
            looks = Looks()
            delay = {"first": "1 hour", "growth": 10}
            run = taken(opened, seeking("here", EXECUTED["in this process"], delay=delay), looks)
            await opened.rested(run)
            return run.state.status, looks.count.total()

    assert asyncio.run(story()) == ("completed", 1)


def test_a_bucket_that_could_not_answer_puts_no_look_off(tmp_path, monkeypatch):
    """A delay grows with each look that found nothing, not with those that came to nothing: after an outage a stage
    would wait for days."""
    listed = MemoryBucket.list_folder
    troubles = [BucketError("503 Slow Down")] * 5

    def list_folder(self: MemoryBucket, folder: str, start: str = "") -> Iterator[ObjectFacts | str]:
        if troubles:
            raise troubles.pop()
        return listed(self, folder, start)

    monkeypatch.setattr(MemoryBucket, "list_folder", list_folder)
    monkeypatch.setattr(gathering, "BUCKET_ERRORS", Retry(delay_milliseconds=1))
    seen: list[tuple[int, int]] = []

    async def story() -> None:
        has_looked = asyncio.Event()

        def observer(entry: Any, state: Any) -> None:
            if isinstance(entry.body, StageWaiting):
                seen.append((entry.body.look, entry.body.look_again_at - entry.at))
                if entry.body.look:
                    has_looked.set()

        async with orchestrator(tmp_path) as opened, asyncio.timeout(60):
            delay = {"first": "1 hour", "growth": 10}
            taken(opened, seeking("memory:away", EXECUTED["in this process"], delay=delay), observer)
            await has_looked.wait()

    asyncio.run(story())
    assert len(seen) == 6
    assert seen[-1] == (1, 3_600_000)


def test_a_run_that_is_taken_up_looks_at_once(tmp_path):
    """What has come while nobody drove it would be seen at the next regular look only, and nothing be told before."""
    (tmp_path / "clew.toml").write_text('buckets = {here = "file:data"}')

    async def begun() -> str:
        async with orchestrator(tmp_path) as opened, asyncio.timeout(60):
            looks = Looks()
            run = taken(opened, seeking("here", EXECUTED["in this process"], delay="1 hour"), looks)
            await looks.until(1, 1)
            return run.state.run_id

    async def gone_on(run_id: str) -> str:
        async with orchestrator(tmp_path) as opened, asyncio.timeout(60):
            row = opened.store.run(run_id)
            assert row is not None
            run = opened.take_up(run_id, row["version"], row["origin"])
            await opened.rested(run)
            return run.state.status

    run_id = asyncio.run(begun())
    FileBucket(str(tmp_path / "data")).write("in/f1", b"x")
    assert asyncio.run(gone_on(run_id)) == "completed"


def test_a_clock_that_is_put_back_does_not_keep_an_object_unsettled(tmp_path):
    """It is taken as seen for the first time, not as seen in the future."""
    sealed = seeking("memory:any", EXECUTED["in this process"], stable_for="1 minute")
    run = DrivenRun(sealed, "a-run", epoch=1, origin=Origin())
    stage = run.state.stages["take"]
    found = {"file": {"key": "in/f1", "etag": "e", "size": 1}}

    def ready_at(at: int) -> int:
        fact = Searched("take", found, SearchAnswer("found", found), at, 1, at)
        unsettled = unsettled_among(run, stage, fact, at)
        return 0 if unsettled is None else unsettled[0]

    day = 24 * 3_600_000
    assert ready_at(2 * day) == 2 * day + 60_000
    assert ready_at(day) == day + 60_000
    assert ready_at(day + 60_000) == 0


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_ten_thousand_stages_that_wait_for_a_store_ask_it_a_hundred_times_a_round(tmp_path, monkeypatch):
    """Counted at the server: a hundred list requests for a hundred prefixes, by a hundred searches; and then each stage
    has its file."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    listing = ListingStore([])

    class Listed:
        def total(self) -> int:
            return len(listing.lists)

    async def story(url: str) -> tuple[str, list[tuple[list[str], int]], int]:
        rounds = Rounds(Listed())
        async with orchestrator(tmp_path, rounds) as opened:
            looks = Looks()
            run = begin(opened, program(10_000, 100, url, "10 seconds"), looks)
            await looks.until(1, 10_000)
            later = await rounds.after(len(rounds.held), 200)
            looked = looks.count.total()
            listing.keys = sorted(f"p{number}/f1" for number in range(100))
            await opened.rested(run)
            return run.state.status, later, looked

    with listing.running() as store:
        (tmp_path / "clew.toml").write_text(f'buckets = {{many = "{store.url("many")}"}}')
        status, later, looked = asyncio.run(story("many"))
    assert (status, looked) == ("completed", 10_000)
    assert all(len(runs) == listed for runs, listed in later)


def test_who_may_be_slow_has_rounds_of_their_own():
    """A plug-in or an address that takes its time delays no look in a bucket, and none at other runs."""
    file, total = Dependency("file", "lines", (Element("a"),)), VariableDependency("total", "adds", "sum")
    market = AskedDependency("market", "lib:is_open", {}, 500)
    rounds = [round_of(each) for each in ((total, file), (total,), (file, market), (market,))]
    assert rounds == ["lines", "the store", "kind: lib:is_open", "kind: lib:is_open"]
