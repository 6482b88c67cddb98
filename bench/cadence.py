"""How long a cadence takes to say when it is due next, beside cronsim for the same expressions, in one run.

    python bench/cadence.py [--json] [--count N]

Each figure is in microseconds, the best of a few rounds. *First*: from the text to the next time. *Each*: a further
time, asked one after another. cronsim is asked on naive local time, in which it knows nothing of changes of clocks.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from cronsim import CronSim

from clew.core.timing.cadence import Cadence
from clew.core.timing.columns import CadenceError
from clew.core.timing.zones import instant_of, zone

START = datetime(2026, 1, 1)
ZONES = ("UTC", "America/New_York")
EXPRESSIONS = (
    "* * * * *",
    "*/5 * * * *",
    "0,30 * * * *",
    "0 9 * * 1",
    "0 9 1-3 * 1,2",
    "0 0 L * *",
    "0 0 29 2 *",
)
CONTRACT = (("* * 1-3 * *", "0 9 * * 1,2"), ("0 9 * * *", "* * * 2 *", "* * * * 4"))
ROUNDS = 5

SINGLE_MAX = 2.0
"""Times cronsim's, for one expression."""
MATRIX_MAX = 5.0
"""Times the sum over its columns, for the contract's example."""
FAR_MILLISECONDS_MAX = 10
"""29 February on a Monday."""
NEVER_MILLISECONDS_MAX = 50
"""Even minutes that are odd."""

Matrix = tuple[tuple[str, ...], ...]


def best(work: Callable[[], None], count: int) -> float:
    """Microseconds of one of the `count` times that `work` does."""
    found = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        found.append((time.perf_counter() - began) / count * 1e6)
    return min(found)


def cronsim_each(expression: str, count: int) -> float:
    def work() -> None:
        times = CronSim(expression, START)
        for _ in range(count):
            next(times)

    return best(work, count)


def cronsim_first(expression: str, count: int) -> float:
    def work() -> None:
        for _ in range(count):
            next(CronSim(expression, START))

    return best(work, count)


def clew_each(matrix: Matrix, name: str, count: int) -> float:
    start = instant_of(START.replace(tzinfo=UTC))
    cadence = Cadence(matrix, zone(name))

    def work() -> None:
        at = start
        for _ in range(count):
            due = cadence.next(at)
            assert due is not None
            at = due

    return best(work, count)


def clew_first(matrix: Matrix, name: str, count: int) -> float:
    start = instant_of(START.replace(tzinfo=UTC))

    def work() -> None:
        for _ in range(count):
            Cadence(matrix, zone(name)).next(start)

    return best(work, count)


def milliseconds_once(matrix: Matrix) -> float:
    """From the text to the answer, once, in a zone that nobody has asked of."""
    began = time.perf_counter()
    with suppress(CadenceError):
        Cadence(matrix, zone("Europe/Vaduz")).next(instant_of(START.replace(tzinfo=UTC)))
    return (time.perf_counter() - began) * 1e3


def measure(count: int) -> dict[str, object]:
    columns = [column for row in CONTRACT for column in row]
    simulated = {
        text: (cronsim_first(text, count), cronsim_each(text, count)) for text in (*EXPRESSIONS, *columns)
    }
    singles = [
        {
            "expression": text,
            "zone": name,
            "cronsim_first": simulated[text][0],
            "clew_first": clew_first(((text,),), name, count),
            "cronsim_each": simulated[text][1],
            "clew_each": clew_each(((text,),), name, count),
        }
        for name in ZONES
        for text in EXPRESSIONS
    ]
    matrices = [
        {
            "zone": name,
            "columns_cronsim_first": sum(simulated[text][0] for text in columns),
            "columns_clew_first": sum(clew_first(((text,),), name, count) for text in columns),
            "clew_first": clew_first(CONTRACT, name, count),
            "columns_cronsim_each": sum(simulated[text][1] for text in columns),
            "columns_clew_each": sum(clew_each(((text,),), name, count) for text in columns),
            "clew_each": clew_each(CONTRACT, name, count),
        }
        for name in ZONES
    ]
    return {
        "singles": singles,
        "matrices": matrices,
        "far_milliseconds": milliseconds_once((("0 0 29 2 *", "* * * * 1"),)),
        "never_milliseconds": milliseconds_once((("0-58/2 * * * *", "1-59/2 * * * *"),)),
    }


def kept(figures: dict) -> dict[str, bool]:
    """What is promised, and whether it was kept."""
    promises = {
        f"one expression, {moment}: at most {SINGLE_MAX:g} times cronsim": all(
            one[f"clew_{moment}"] <= SINGLE_MAX * one[f"cronsim_{moment}"] for one in figures["singles"]
        )
        for moment in ("first", "each")
    }
    promises |= {
        f"the contract's matrix, {moment}: at most {MATRIX_MAX:g} times its columns": all(
            one[f"clew_{moment}"] <= MATRIX_MAX * one[f"columns_clew_{moment}"] for one in figures["matrices"]
        )
        for moment in ("first", "each")
    }
    far, never = figures["far_milliseconds"], figures["never_milliseconds"]
    promises[f"29 February on a Monday within {FAR_MILLISECONDS_MAX} ms"] = far <= FAR_MILLISECONDS_MAX
    promises[f"never due told within {NEVER_MILLISECONDS_MAX} ms"] = never <= NEVER_MILLISECONDS_MAX
    return promises


def report(figures: dict, promises: dict[str, bool]) -> None:
    print(f"{'µs':32}{'first: cronsim':>16}{'clew':>8}{'':>7}{'each: cronsim':>16}{'clew':>8}")
    for one in figures["singles"]:
        first, each = (one[f"clew_{moment}"] / one[f"cronsim_{moment}"] for moment in ("first", "each"))
        print(
            f"{one['expression']:14} {one['zone']:17}{one['cronsim_first']:16.1f}"
            f"{one['clew_first']:8.1f} x{first:<5.2f}"
            f"{one['cronsim_each']:16.1f}{one['clew_each']:8.1f} x{each:<5.2f}"
        )
    for one in figures["matrices"]:
        for whose in ("cronsim", "clew"):
            sums = [one[f"columns_{whose}_{moment}"] for moment in ("first", "each")]
            first, each = (
                one[f"clew_{moment}"] / total for moment, total in zip(("first", "each"), sums, strict=True)
            )
            print(
                f"{'matrix/' + whose:14} {one['zone']:17}{sums[0]:16.1f}{one['clew_first']:8.1f} x{first:<5.2f}"
                f"{sums[1]:16.1f}{one['clew_each']:8.1f} x{each:<5.2f}"
            )
    print(f"29 February on a Monday: {figures['far_milliseconds']:.2f} ms")
    print(f"even minutes that are odd: {figures['never_milliseconds']:.2f} ms")
    for promise, is_kept in promises.items():
        print(f"{'kept  ' if is_kept else 'BROKEN'}  {promise}")


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    words.add_argument("--json", action="store_true", help="print the figures as JSON")
    words.add_argument("--count", type=int, default=500, help="times asked of each")
    given = words.parse_args()
    figures = measure(given.count)
    promises = kept(figures)
    if given.json:
        print(json.dumps({**figures, "promises": promises}))
    else:
        report(figures, promises)
    return 0 if all(promises.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
