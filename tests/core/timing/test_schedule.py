"""What becomes of due times: a run, a record that they were missed, or that they were passed over."""

from __future__ import annotations

from random import Random

from clew.core.timing.late import LATE_MILLISECONDS_MAX
from clew.core.timing.schedule import Batch, DueTime, Pause, next_due, settle
from clew.core.timing.timing import Timing
from clew.core.timing.zones import zone

MINUTE = 60_000
HOUR = 60 * MINUTE
START = 1_767_225_600_000
"""2026-01-01T00:00:00Z."""


def hourly() -> Timing:
    return Timing([["0 * * * *"]], zone("UTC"))


def settled(timing: Timing, now: int, **given: object) -> Batch:
    facts = {"live_since": START, "settled_until": START, "pauses": (), "backfill_milliseconds": None,
             "count_max": 1_000, **given}  # fmt: skip
    return settle(timing, now=now, **facts)  # type: ignore[arg-type]


def verdicts(batch: Batch) -> list[tuple[int, str]]:
    return [((due.at - START) // MINUTE, due.verdict) for due in batch.times]


def test_a_time_is_due_for_the_whole_of_its_minute() -> None:
    """What is made due within it is no late run."""
    assert settled(hourly(), START + HOUR - 1) == Batch((), START + HOUR - 1, is_complete=True)
    assert verdicts(settled(hourly(), START + HOUR)) == [(60, "run")]
    assert verdicts(settled(hourly(), START + HOUR + LATE_MILLISECONDS_MAX)) == [(60, "run")]
    assert verdicts(settled(hourly(), START + HOUR + LATE_MILLISECONDS_MAX + 1)) == [(60, "missed")]


def test_missed_times_count_as_far_back_as_the_backfill_window_reaches() -> None:
    """What lies before is on record as missed."""
    found = settled(hourly(), START + 5 * HOUR + 1, backfill_milliseconds=2 * HOUR)
    assert verdicts(found) == [(60, "missed"), (120, "missed"), (180, "missed"), (240, "run"), (300, "run")]
    assert (found.settled_until, found.is_complete) == (START + 5 * HOUR + 1, True)


def test_times_at_which_the_program_was_paused_are_skipped() -> None:
    """From the moment it was paused to that at which it went on, or until now."""
    over = Pause(START + 2 * HOUR, START + 3 * HOUR)
    lasting = Pause(START + 5 * HOUR)
    found = settled(hourly(), START + 6 * HOUR, pauses=(over, lasting), backfill_milliseconds=9 * HOUR)
    assert [verdict for _, verdict in verdicts(found)] == [
        "run",
        "skipped",
        "run",
        "run",
        "skipped",
        "skipped",
    ]


def test_many_times_are_settled_a_few_at_a_time_in_order() -> None:
    """Each batch goes on where the one before ended, and nothing is settled twice or left out."""
    whole = settled(hourly(), START + 30 * HOUR)
    at, parts = START, list[DueTime]()
    for _ in range(5):
        batch = settled(hourly(), START + 30 * HOUR, settled_until=at, count_max=7)
        assert batch.is_complete == (len(parts) + len(batch.times) == 30 and len(batch.times) < 7)
        parts += batch.times
        at = batch.settled_until
    assert tuple(parts) == whole.times and at == START + 30 * HOUR


def test_once_is_due_when_the_program_is_first_live() -> None:
    """Where it does not say when; and then never again."""
    once = Timing("once", zone("UTC"))
    assert next_due(once, live_since=START, settled_until=START - 1) == START
    assert next_due(once, live_since=START, settled_until=START) is None
    assert verdicts(settled(once, START, settled_until=START - 1)) == [(0, "run")]


def test_what_is_never_due_again_has_no_next_time() -> None:
    """Nothing is to be waited for."""
    single = Timing("2026-01-01 06:00", zone("UTC"))
    assert next_due(single, live_since=START, settled_until=START) == START + 6 * HOUR
    assert next_due(single, live_since=START, settled_until=START + 6 * HOUR) is None
    assert settled(single, START + 9 * HOUR, settled_until=START + 6 * HOUR).times == ()


def test_however_often_the_clock_jumps_each_time_is_settled_once() -> None:
    """Forward, what lies between is on record; backward, nothing is due until it is there again."""
    for seed in range(40):
        chance, at, now, found = Random(seed), START, START, list[int]()
        for _ in range(60):
            now += chance.choice((MINUTE, 20 * MINUTE, 3 * HOUR, 40 * HOUR, -2 * HOUR, -50 * HOUR))
            batch = settled(hourly(), now, settled_until=at, count_max=chance.choice((1, 5, 100)))
            found += [due.at for due in batch.times]
            at = max(at, batch.settled_until)
        assert found == [START + number * HOUR for number in range(1, len(found) + 1)]
