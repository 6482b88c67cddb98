"""What every store promises about who drives which runs: what is claimed is one's own, and nobody else's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from tests.contracts.conftest import VERSION
from tests.contracts.test_store import RUNNING, created, following

from clew.ports import ClaimedRun, Holder, RunRow
from clew.stores.postgres import PostgresStore
from clew.stores.sqlite import SqliteStore
from clew.stores.store import DatabaseStore

Open = Callable[..., DatabaseStore]

LEASE_MILLISECONDS = 60_000
"""Longer than any test takes: whoever is to be gone is made so."""

HOLDER = Holder("here", 1, "boot", 2, 3, "0.1.0")


def joined(store: DatabaseStore) -> DatabaseStore:
    """The store, by which somebody drives from now on."""
    if isinstance(store, PostgresStore):
        store.join(HOLDER, {}, lease_milliseconds=LEASE_MILLISECONDS)
    else:
        assert isinstance(store, SqliteStore)
        store.join(HOLDER, {})
    return store


def gone(store: DatabaseStore) -> None:
    """Whoever drives by that store has died, and the lease is over."""
    if isinstance(store, PostgresStore):
        assert store.renew(-1)


def fill(store: DatabaseStore, **counts: int) -> None:
    """So many runs of each program, which nobody drives."""
    store.register_program(VERSION, "trip", "{}", [], 5)
    for program, count in counts.items():
        store.record(
            [
                created(
                    f"{program}-{number:03}",
                    number,
                    program=program,
                    run_name=f"{number}",
                    launched_at=number,
                )
                for number in range(1, count + 1)
            ]
        )


def programs_of(claimed: list[ClaimedRun]) -> Counter[str]:
    return Counter(run.run_id.partition("-")[0] for run in claimed)


def test_what_nobody_drives_is_claimed_once(open_again: Open) -> None:
    """The oldest first, each under its next epoch; then there is nothing left."""
    fill(open_again(), trip=5)
    mine = joined(open_again())
    claimed = mine.leases.claim(3)
    claimed.sort(key=lambda run: run.run_id)
    assert claimed == [ClaimedRun(f"trip-00{n}", VERSION, "{}", 2, "running") for n in (1, 2, 3)]
    assert {run.run_id for run in mine.leases.claim(3)} == {"trip-004", "trip-005"}
    assert mine.leases.claim(3) == []
    assert mine.leases.owned() == {f"trip-00{n}": 2 for n in range(1, 6)}
    assert mine.record([following("trip-001", 2, epoch=2)]) == []
    assert mine.record([following("trip-002", 2, epoch=1)]) == ["trip-002"]


def test_programs_have_their_turn(open_again: Open) -> None:
    """However many runs one of them has: of each as many, and more of one where the others have no more."""
    fill(open_again(), many=100, few=3, some=20)
    mine = joined(open_again())
    assert programs_of(mine.leases.claim(30)) == {"few": 3, "many": 14, "some": 13}
    assert programs_of(mine.leases.claim(30)) == {"many": 15, "some": 7}


def test_many_programs_have_their_turn_one_after_the_other(open_again: Open) -> None:
    """More than are looked at together: those that were claimed from last come last."""
    fill(open_again(), **{f"p{number:03}": 2 for number in range(120)})
    mine = joined(open_again())
    seen: list[Counter[str]] = [programs_of(mine.leases.claim(50)) for _ in range(5)]
    assert all(set(one.values()) == {1} for one in seen[:2]) and not seen[0] & seen[1]
    assert sum(seen, Counter[str]()) == {f"p{number:03}": 2 for number in range(120)} or mine.leases.claim(50)


@pytest.mark.parametrize("status", ["held", "rollback_failed", "completed", "failed"])
def test_what_waits_for_a_person_or_for_nothing_is_left_alone(open_again: Open, status: str) -> None:
    """Until somebody says so, by name."""
    fill(open_again(), trip=1)
    open_again().record([following("trip-001", 2, run=RunRow(status, "", None, "[]"))])
    mine = joined(open_again())
    assert mine.leases.claim(9) == []
    assert mine.leases.claim_run("trip-001") == ClaimedRun("trip-001", VERSION, "{}", 2, status)
    assert mine.leases.claim_run("trip-009") is None


def test_versions_that_are_not_wanted_are_left_to_others(open_again: Open) -> None:
    """And a run of one that was claimed before anybody knew is handed back."""
    fill(open_again(), trip=2)
    mine = joined(open_again())
    assert mine.leases.claim(9, besides={"x" * 64, VERSION}) == []
    assert mine.leases.claim(9, besides={"trip-001", "trip-002"}) == []
    (claimed,) = mine.leases.claim(1)
    mine.leases.release_some([claimed.run_id])
    assert mine.leases.owned() == {} and len(mine.leases.claim(9)) == 2


def test_what_one_makes_is_ones_own(open_again: Open) -> None:
    """And what is made by somebody who drives nothing is anybody's."""
    mine = joined(open_again())
    fill(mine, trip=2)
    assert mine.leases.owned() == {"trip-001": 1, "trip-002": 1}
    assert mine.leases.claim(9) == []
    assert (mine.run("trip-001") or {})["owner"] == mine.leases.me


def test_what_is_handed_back_is_anybodys(open_again: Open) -> None:
    """At once, with the programs whose places one gave."""
    mine = joined(open_again())
    fill(mine, trip=2)
    placed(mine)
    assert mine.leases.take_gate("gated")
    mine.leases.release()
    assert mine.leases.owned() == {}
    assert len(mine.leases.claim(9)) == 2
    assert mine.leases.programs_with_places() == ["gated"]


# ---- several orchestrators -----------------------------------------------------------------------------------


@pytest.fixture
def two(open_again: Open, place: str) -> tuple[Any, Any]:
    """Two orchestrators of one PostgreSQL store."""
    return joined(open_again()), joined(open_again())


several = pytest.mark.parametrize("place", ["postgres"], indirect=True)


@several
def test_what_somebody_drives_is_nobody_elses(two: tuple[PostgresStore, PostgresStore]) -> None:
    """As long as the lease lasts, even by name."""
    mine, other = two
    fill(other, trip=2)
    assert mine.leases.claim(9) == [] and mine.leases.claim_run("trip-001") is None
    gone(other)
    assert mine.leases.claim_run("trip-001") == ClaimedRun("trip-001", VERSION, "{}", 2, "running")
    assert [run.run_id for run in mine.leases.claim(9)] == ["trip-002"]
    assert other.record([following("trip-001", 2)]) == ["trip-001"], "whatever its clock says"
    assert other.leases.owned() == {}


@several
def test_a_lease_that_is_renewed_late_keeps_what_nobody_has_taken(
    two: tuple[PostgresStore, PostgresStore],
) -> None:
    """And only that."""
    mine, other = two
    fill(other, trip=2)
    gone(other)
    assert mine.leases.claim_run("trip-001") is not None
    assert other.renew(LEASE_MILLISECONDS)
    assert other.leases.owned() == {"trip-002": 1}
    assert mine.leases.claim(9) == [] and other.record([following("trip-002", 2)]) == []


@several
def test_who_leaves_hands_back_and_is_there_no_more(two: tuple[PostgresStore, PostgresStore]) -> None:
    """Others see at once who is there."""
    mine, other = two
    fill(other, trip=2)
    assert len(mine.orchestrators()) == 2
    other.leave()
    assert len(mine.orchestrators()) == 1
    assert len(mine.leases.claim(9)) == 2


@several
def test_those_who_claim_at_once_do_not_wait_for_each_other(two: tuple[PostgresStore, PostgresStore]) -> None:
    """What another is just claiming is passed over."""
    mine, other = two
    fill(mine, trip=4)
    mine.leases.release()
    with other._transaction():
        bound = {"me": other.leases.me, "owner": "", "program": "trip", "limit": 2, "besides": ""}
        assert len(other._rows("claim_runs", bound)) == 2
        assert [run.run_id for run in mine.leases.claim(9)] == ["trip-003", "trip-004"]
    assert sorted(other.leases.owned()) == ["trip-001", "trip-002"]


# ---- programs with places ------------------------------------------------------------------------------------


def placed(store: DatabaseStore) -> None:
    """A program with places: one run that has begun, and two that are queued."""
    store.register_program(VERSION, "gated", "{}", [], 5)
    for number, status in ((1, "running"), (2, "queued"), (3, "queued")):
        row = RUNNING._replace(status=status)
        new = created(f"gated-{number}", number, program="gated", run_name=f"{number}", needs_place=True)
        store.record([new._replace(run=row)])


def test_runs_with_places_are_driven_by_who_gives_them(open_again: Open) -> None:
    """They are claimed with their program, those that are queued by name when it is their turn."""
    placed(open_again())
    mine = joined(open_again())
    assert mine.leases.claim(9) == []
    assert mine.leases.programs_with_places() == ["gated"]
    assert mine.leases.take_gate("gated") and mine.leases.take_gate("gated")
    assert mine.leases.programs_with_places() == ["gated"], "others may have asked for more"
    assert mine.leases.claim_with_places("gated") == [ClaimedRun("gated-1", VERSION, "{}", 2, "running")]
    assert mine.leases.claim_with_places("gated") == []
    for run_id in ("gated-2", "gated-3"):
        assert mine.leases.claim_run(run_id) == ClaimedRun(run_id, VERSION, "{}", 2, "queued")
    assert mine.leases.programs_with_places() == []


@several
def test_places_are_given_by_one(two: tuple[PostgresStore, PostgresStore]) -> None:
    """Until it is gone; then by another, who takes over what has begun."""
    mine, other = two
    placed(other)
    assert other.leases.take_gate("gated") and not mine.leases.take_gate("gated")
    assert mine.leases.programs_with_places() == []
    gone(other)
    assert mine.leases.programs_with_places() == ["gated"]
    assert mine.leases.take_gate("gated")
    assert [run.run_id for run in mine.leases.claim_with_places("gated")] == ["gated-1"]
    assert other.renew(LEASE_MILLISECONDS)
    assert not other.leases.take_gate("gated")


@several
def test_who_has_lost_the_places_claims_none_of_their_runs(two: tuple[PostgresStore, PostgresStore]) -> None:
    """Whoever was stopped between taking the places and claiming the runs, and was taken for gone meanwhile."""
    late, present = two
    placed(late)
    assert late.leases.take_gate("gated")
    gone(late)
    assert present.leases.take_gate("gated")
    assert [run.run_id for run in present.leases.claim_with_places("gated")] == ["gated-1"]
    assert late.renew(LEASE_MILLISECONDS)
    assert late.leases.claim_with_places("gated") == []
    assert present.leases.owned() == {"gated-1": 2}


@several
def test_who_has_lost_the_places_gives_none(two: tuple[PostgresStore, PostgresStore]) -> None:
    """What he had queued is nobody's, and he can record nothing of it."""
    late, present = two
    placed(late)
    assert late.leases.take_gate("gated") and set(late.leases.owned()) == {"gated-1", "gated-2", "gated-3"}
    gone(late)
    assert present.leases.take_gate("gated")
    assert [run.run_id for run in present.leases.claim_with_places("gated")] == ["gated-1"]
    assert late.renew(LEASE_MILLISECONDS)
    launched = following("gated-2", 2, run=RUNNING, launched_at=9)
    assert late.record([launched]) == ["gated-2"]
    assert late.leases.owned() == {} and set(present.leases.owned()) == {"gated-1"}
    assert present.leases.claim_run("gated-2") == ClaimedRun("gated-2", VERSION, "{}", 3, "queued")


# ---- what it costs -------------------------------------------------------------------------------------------


def test_looking_for_runs_costs_the_same_however_many_there_are(open_again: Open) -> None:
    """Nothing is looked through: of what somebody drives, and of what has settled, nothing is read."""
    store = open_again()
    if isinstance(store, SqliteStore):
        bound = {"me": "1", "after": "", "limit": 50}
        for query in ("select_to_drive", "select_with_places"):
            text = f"EXPLAIN QUERY PLAN {store._sql[query]}"
            plan = [row[3] for row in store._connection.execute(text, bound if ":me" in text else ())]
            runs = [line for line in plan if "runs" in line]
            assert runs and all("INDEX" in line for line in runs), plan
    else:
        assert isinstance(store, PostgresStore)
        with store._transaction():
            store._rows("begin_flush")  # as if the tables were large
            for query in ("select_to_drive", "select_with_places"):
                text, names = store._connection._queries[query]
                given = [{"me": "x", "after": "", "limit": 50}[name] for name in names]
                plan = [line for (line,) in store._connection.execute(f"EXPLAIN {text}", given)]
                assert not any("Seq Scan on runs" in line for line in plan), plan
