"""How soon runs go on when their orchestrator is lost, or their server was: three `clew up` on one PostgreSQL.

    python bench/takeover.py [--json] [--rounds N] [--lease SECONDS]

`killed`: from kill -9 of one to the first new entry in the journal of each of its runs. `told to end`: the same from
SIGTERM, of runs with nothing under way. `server`: from when a server that was stopped as if by a power failure answers
again to the next entry of any run.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.databases.postgres import PostgresServer, postgres_server
from tests.many.fleet import Fleet, Member, fleet, until

RUNS = 12
WAITING = """name: patient
stages:
  - name: wait
    dependencies: [{{name: never, kind: input}}]
    execute: {{command: shell, params: ["true"]}}
    rollback: none
"""


def entries(many: Fleet, runs: set[str]) -> dict[str, int]:
    """How many entries each of these runs has."""
    given = many.rows("SELECT run_id, entry_count FROM runs WHERE run_id = ANY(%s)", sorted(runs))
    return dict(given)


def seconds_until_all_go_on(many: Fleet, runs: set[str], before: dict[str, int]) -> float:
    started = time.monotonic()
    until(lambda: all(count > before[run] for run, count in entries(many, runs).items()))
    return time.monotonic() - started


def most_burdened(many: Fleet) -> Member:
    alive = [member for member in many.members if member.process.poll() is None]
    return max(alive, key=lambda member: len(many.driven_by(member)))


def killed(many: Fleet) -> float:
    """From the kill to a new entry of every run."""
    many.ask(RUNS)
    until(lambda: len(many.driven_by(most_burdened(many))) > 1)
    lost = most_burdened(many)
    lost.stop()  # so that what it drives is known, and how far it is
    runs = many.driven_by(lost)
    before = entries(many, runs)
    lost.signal(signal.SIGKILL)
    taken = seconds_until_all_go_on(many, runs, before)
    until(lambda: not many.unsettled())
    lost.process.wait()
    many.start()
    return taken


def told_to_end(many: Fleet) -> float:
    """From the signal to a new entry of every run, of which all wait for data."""
    many.ask(RUNS, "patient.yaml")
    until(lambda: bool(many.rows("SELECT 1 FROM runs WHERE status = 'waiting' HAVING count(*) = %s", RUNS)))
    lost = most_burdened(many)
    runs = many.driven_by(lost)
    before = entries(many, runs)
    lost.signal(signal.SIGTERM)
    taken = seconds_until_all_go_on(many, runs, before)
    lost.process.wait()
    many.rows("DELETE FROM stages RETURNING 1")
    many.rows("DELETE FROM runs WHERE program = 'patient' RETURNING 1")
    many.start()
    return taken


def server_gone(many: Fleet, server: PostgresServer) -> float:
    """From when it answers again to the next entry of any run."""
    many.ask(RUNS)
    until(lambda: len(many.driven_by(most_burdened(many))) > 1)
    many.database.close()
    server.stop(mode=signal.SIGQUIT)
    server.start()
    many.database = Fleet.open(many.url)
    unsettled = {run_id for (run_id,) in many.rows("SELECT run_id FROM runs WHERE ended_at IS NULL")}
    before = entries(many, unsettled)
    started = time.monotonic()
    until(lambda: any(count > before[run] for run, count in entries(many, unsettled).items()))
    taken = time.monotonic() - started
    until(lambda: not many.unsettled())
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--lease", type=int, default=2)
    given = parser.parse_args()
    found: dict[str, list[float]] = {"killed": [], "told to end": [], "server": []}
    lease = f"{given.lease} seconds"
    for _ in range(given.rounds):
        with tempfile.TemporaryDirectory() as place, postgres_server() as server:
            folder = Path(place)
            with fleet(folder, server.url(server.new_database()), lease) as many:
                (folder / "patient.yaml").write_text(WAITING.format(folder=folder))
                for _ in range(3):
                    many.start()
                found["killed"].append(killed(many))
                found["told to end"].append(told_to_end(many))
                found["server"].append(server_gone(many, server))
    report = {
        name: {"median": statistics.median(all_seconds), "least": min(all_seconds), "most": max(all_seconds)}
        for name, all_seconds in found.items()
    }
    if given.json:
        print(json.dumps({"lease": given.lease, **report}))
        return
    print(f"lease {lease}; {given.rounds} rounds; seconds until all runs go on")
    for name, figures in report.items():
        print(f"{name:12} " + "  ".join(f"{key} {seconds:.2f}" for key, seconds in figures.items()))


if __name__ == "__main__":
    main()
