"""How fast durable stages are: clew beside two bare engines, interleaved in one run.

    python bench/throughput.py [--json] [--rounds N] [--quick] [--store sqlite|postgresql|postgresql://...]

Workloads: `chain`, runs of 10 no-op `async` stages one after another; `graph`, figure 4's blocks of 2, 1, 3 and 1
stages; `failing`, the same with its third block failing, so that all is undone. Each in flight by the hundred,
and alone. SQLite has full synchronisation; PostgreSQL is a server of this machine as it comes, or the one whose URL is
given, each time with a new database. Each measurement is in a process of its own.

Engines: `clew`; `rows`, a bare loop that hashes and writes clew's own journal and tracker rows in the same batches
with as many flushes, and decides nothing (on PostgreSQL by one connection, each table's rows by `unnest` of arrays in
binary format, a transaction sent whole); `engine`, the least that a group-commit engine can do: start, steps and
end of a run as plain rows, each durable before the next goes on, on SQLite.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import postgres
from bare import BARE_ENGINES
from workloads import WORKLOADS

HERE = Path(__file__).resolve().parent

STORES = ("sqlite", "postgresql")

MEASUREMENTS = [
    # workload, engines, runs, in flight
    ("chain", ("engine", "rows", "clew"), 2000, 200),
    ("chain", ("engine", "rows", "clew"), 100, 1),
    ("graph", ("rows", "clew"), 1000, 200),
    ("graph", ("rows", "clew"), 100, 1),
    ("failing", ("clew",), 1000, 200),
    ("failing", ("clew",), 100, 1),
    ("chain", ("clew",), 4000, 2000),
]


async def clew_engine(place: str, workload: str, runs: int, in_flight: int) -> dict[str, float]:
    """The real thing: `clew.open_session`, as a user's program would use it."""
    from clew import open_session

    program = WORKLOADS[workload]
    async with open_session(program, store=place if "://" in place else f"sqlite:///{place}") as session:
        expected = "rolled_back" if workload == "failing" else "completed"

        async def one() -> None:
            result = await session.run(program)
            assert result.status == expected, result

        await one()  # imports and the program's registration are start-up, measured elsewhere
        flushed = session.flush_count
        seconds = await timed(one, runs, in_flight)
        return {"seconds": seconds, "flushes": session.flush_count - flushed}


async def timed(one: Callable[[], Awaitable[None]], runs: int, in_flight: int) -> float:
    """Seconds for `runs` calls of `one`, `in_flight` at a time."""
    left = runs

    async def worker() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await one()

    started = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(in_flight)))
    return time.perf_counter() - started


@contextmanager
def new_place(store: str) -> Iterator[str]:
    """Where a store is to be made: a path, or the URL of a database."""
    if store == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield os.path.join(folder, "bench.db")
    else:
        with postgres.database(store) as url:
            yield url


def measure_here(store: str, engine: str, workload: str, runs: int, in_flight: int) -> None:
    """One measurement, in this process; its figures go to standard output."""
    with new_place(store) as place:
        before = 0.0 if store == "sqlite" else postgres.processor_seconds(postgres.process_id_of(store))
        if engine == "clew":
            figures = asyncio.run(clew_engine(place, workload, runs, in_flight))
        else:
            figures = asyncio.run(BARE_ENGINES[engine](place, workload, runs, in_flight, timed))
        if store != "sqlite":
            after = postgres.processor_seconds(postgres.process_id_of(store))
            figures["server_processor_seconds"] = after - before
    figures["processor_seconds"] = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    figures["memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(figures))


def measure(store: str, engine: str, workload: str, runs: int, in_flight: int) -> dict[str, float]:
    words = [sys.executable, __file__, "--store", store, "--one", engine, workload, str(runs), str(in_flight)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(words)} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def medians(stores: dict[str, str], rounds: int, quick: bool) -> list[dict[str, object]]:
    """Every measurement, `rounds` times, the engines and stores taking turns. `stores`: where each is, by name."""
    rows: list[dict[str, object]] = []
    for workload, engines, runs, in_flight in MEASUREMENTS:
        runs = max(runs // 10, in_flight) if quick else runs
        takers = [(store, engine) for store in stores for engine in engines]
        found: dict[tuple[str, str], list[dict[str, float]]] = {
            taker: [] for taker in takers if taker != ("postgresql", "engine")
        }
        for _ in range(rounds):
            for store, engine in found:
                found[store, engine].append(measure(stores[store], engine, workload, runs, in_flight))
        for (store, engine), figures in found.items():
            rows.append({"store": store, **summary(engine, workload, runs, in_flight, figures)})
    return rows


def summary(
    engine: str, workload: str, runs: int, in_flight: int, found: list[dict[str, float]]
) -> dict[str, object]:
    seconds = sorted(each["seconds"] for each in found)
    median = statistics.median(seconds)
    return {
        "workload": workload,
        "engine": engine,
        "runs": runs,
        "in_flight": in_flight,
        "stages_per_second": round(runs * (10 if workload == "chain" else 7) / median),
        "runs_per_second": round(runs / median, 1),
        "milliseconds_per_run": round(
            1000 * median / runs * min(in_flight, 1 if in_flight == 1 else in_flight), 3
        ),
        "range_seconds": [round(seconds[0], 4), round(seconds[-1], 4)],
        **server_share(found, runs),
        "flushes_per_run": round(statistics.median(each["flushes"] for each in found) / runs, 3),
        "memory_mb": round(max(each["memory_mb"] for each in found), 1),
    }


def server_share(found: list[dict[str, float]], runs: int) -> dict[str, object]:
    """What the database's own processes had of the processors, for each run; nothing where it has none."""
    shares = [each["server_processor_seconds"] for each in found if "server_processor_seconds" in each]
    return (
        {"server_milliseconds_per_run": round(1000 * statistics.median(shares) / runs, 3)} if shares else {}
    )


def ratios(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """clew's figures by those of the engines beside it: above 1 is more work a second, or more time."""
    found = []
    by_key = {(row["store"], row["workload"], row["in_flight"], row["engine"]): row for row in rows}
    for (store, workload, in_flight, engine), row in by_key.items():
        clew = by_key.get((store, workload, in_flight, "clew"))
        if engine == "clew" or clew is None:
            continue
        quantity = "milliseconds_per_run" if in_flight == 1 else "stages_per_second"
        ratio = round(float(str(clew[quantity])) / float(str(row[quantity])), 3)
        found.append(
            {
                "store": store,
                "workload": workload,
                "in_flight": in_flight,
                "clew_by": engine,
                "quantity": quantity,
                "ratio": ratio,
            }
        )
    return found


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    reader.add_argument("--json", action="store_true")
    reader.add_argument("--quick", action="store_true", help="a tenth of the runs")
    reader.add_argument("--rounds", type=int, default=5)
    reader.add_argument("--store", help="only this one: sqlite, postgresql, or the URL of a server")
    reader.add_argument(
        "--one", nargs=4, metavar=("ENGINE", "WORKLOAD", "RUNS", "IN_FLIGHT"), help=argparse.SUPPRESS
    )
    given = reader.parse_args()
    if given.one:
        engine, workload, runs, in_flight = given.one
        measure_here(given.store or "sqlite", engine, workload, int(runs), int(in_flight))
        return
    with ExitStack() as stack:
        stores = places(given.store, stack)
        rows = medians(stores, given.rounds, given.quick)
    found = ratios(rows)
    if given.json:
        print(json.dumps({"measurements": rows, "ratios": found}, indent=1))
        return
    for row in [*rows, *found]:
        print("  ".join(f"{key} {value}" for key, value in row.items()))


def places(store: str | None, stack: ExitStack) -> dict[str, str]:
    """Where the stores are that are measured, by name; a server that has to be started ends with the stack."""
    if store is not None and "://" in store:
        return {"postgresql": store}
    names = STORES if store is None else (store,)
    return {name: name if name == "sqlite" else stack.enter_context(postgres.server()) for name in names}


if __name__ == "__main__":
    main()
