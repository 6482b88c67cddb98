"""What proving costs: verifying a store of a million entries, the proof of one run among them, and what hashes, leaves
and signatures cost while runs are driven.

    python bench/verification.py [--json] [--entries 1000000] [--rounds 5]

The store is filled by runs that clew itself drives. Promised are: links, hashes and proofs of a million entries in 20
seconds and 200 MB, deriving their tracker again in 90 seconds; a proof of at most 3 KB; at most 15 % of the processor
time for hashing, canonical JSON, leaves and signing; and 0.9 of the throughput with a checkpoint each second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from types import FrameType
from typing import Any

from large_stores import IN_FLIGHT, WORKLOAD

LEDGER = (
    "/core/sealing/", "/stores/tree.py", "/orchestrator/tree_keeper.py", "/trust/signing.py", "/wiring/signing.py",
)  # fmt: skip
"""Where hashing, canonical JSON, leaves and signing are."""

SAMPLE_SECONDS = 0.001
DRIVEN_SECONDS = 6
"""Of a measurement of throughput: some checkpoints have to come in it."""


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def _drive(
    folder: str, *, entries: int = 0, seconds: float = 0, signs: bool = True
) -> dict[str, float]:
    """Runs until there are so many entries, or for so long."""
    from workloads import WORKLOADS

    from clew import open_session
    from clew.settings import read_settings

    program, begun = WORKLOADS[WORKLOAD], time.perf_counter()
    settings = read_settings(folder=folder, environment={})
    runs = 0
    async with open_session(program, settings=settings) as session:
        if not signs:
            session._orchestrator.tree.stop()
        entries_a_run = 22

        def goes_on() -> bool:
            return runs * entries_a_run < entries or time.perf_counter() - begun < seconds

        async def drive() -> None:
            nonlocal runs
            while goes_on():
                runs += 1
                await session.run(program)

        samples: Counter[bool] = Counter()

        def sample(number: int, frame: FrameType | None) -> None:
            while frame is not None and not any(part in frame.f_code.co_filename for part in LEDGER):
                frame = frame.f_back
            samples[frame is not None] += 1

        if seconds and signs:
            signal.signal(signal.SIGPROF, sample)
            signal.setitimer(signal.ITIMER_PROF, SAMPLE_SECONDS, SAMPLE_SECONDS)
        await asyncio.gather(*(drive() for _ in range(IN_FLIGHT)))
        signal.setitimer(signal.ITIMER_PROF, 0)
        taken = time.perf_counter() - begun
    figures = {"runs_per_second": runs / taken}
    if samples:
        figures["ledger_share"] = samples[True] / samples.total()
    return figures


def fill(folder: str, entries: int) -> dict[str, float]:
    return asyncio.run(_drive(folder, entries=entries))


def drive(folder: str, signs: int) -> dict[str, float]:
    return asyncio.run(_drive(folder, seconds=DRIVEN_SECONDS, signs=bool(signs)))


def links(folder: str, _: int) -> dict[str, float]:
    """Every hash and link of every journal, every leaf, and the tree with its signature."""
    from clew.core.sealing.journal import StoredEntry, verify_journal
    from clew.operations.tree import judge_tree, leaf_flaws
    from clew.settings import read_settings
    from clew.trust.signing import verify_signature
    from clew.wiring import open_records
    from clew.wiring.exporting import keys_of

    settings = read_settings(folder=folder, environment={})
    begun = time.perf_counter()
    with open_records(settings) as records:
        entries = 0
        for run_id in records.store.run_ids():
            journal = [StoredEntry(content.encode(), hash) for content, hash in records.store.journal(run_id)]
            entries += len(verify_journal(run_id, journal))
            leaves = [leaf for _, leaf in records.store.tree.leaves_of(run_id)]
            assert not list(leaf_flaws(leaves, [each.hash for each in journal], is_settled=True))
        tree = judge_tree(records.store.tree, keys=keys_of(settings, ()), verify=verify_signature)
    assert not tree.flaw and not tree.missing and tree.signed == tree.size, tree
    return {
        "entries": entries, "leaves": tree.size, "seconds": time.perf_counter() - begun, "memory_mb": peak_mb(),
    }  # fmt: skip


def whole(folder: str, _: int) -> dict[str, float]:
    """`clew verify`: the same, and payloads, and the tracker derived again."""
    from clew.operations.proving import Prover
    from clew.settings import read_settings
    from clew.wiring import open_records

    settings = read_settings(folder=folder, environment={})
    begun = time.perf_counter()
    with open_records(settings) as records:
        prover = Prover(records)
        assert all(prover.verify(run_id).verdict == "sound" for run_id in records.store.run_ids())
    return {"seconds": time.perf_counter() - begun, "memory_mb": peak_mb()}


def proof(folder: str, _: int) -> dict[str, float]:
    """The proof of a run in the middle of all others."""
    from clew.settings import read_settings
    from clew.wiring import open_records
    from clew.wiring.exporting import export_run

    settings = read_settings(folder=folder, environment={})
    with open_records(settings) as records:
        run_ids = records.store.run_ids()
    begun = time.perf_counter()
    lines = [json.loads(line) for line in export_run(settings, run_ids[len(run_ids) // 2], ())]
    proofs = [each for line in lines if line["kind"] == "leaf" for each in line["proof"]]
    return {
        "bytes": sum(len(each) + 3 for each in proofs),
        "milliseconds": 1000 * (time.perf_counter() - begun),
    }


WORK = {"fill": fill, "drive": drive, "links": links, "whole": whole, "proof": proof}


def apart(work: str, folder: str, given: int = 0) -> dict[str, float]:
    """That work, in a process of its own."""
    words = [sys.executable, __file__, "--one", work, folder, str(given)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CLEW_")}
    done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    reader = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    reader.add_argument("--json", action="store_true")
    reader.add_argument("--entries", type=int, default=1_000_000)
    reader.add_argument("--rounds", type=int, default=5)
    reader.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    given = reader.parse_args()
    if given.one:
        work, folder, number = given.one
        print(json.dumps(WORK[work](folder, int(number))))
        return
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        apart("fill", folder, given.entries)
        for work in ("links", "whole", "proof"):
            figures[work] = apart(work, folder)
    with_it, without = [], []
    for _ in range(given.rounds):
        for signs, found in ((1, with_it), (0, without)):
            with tempfile.TemporaryDirectory() as folder:
                found.append(apart("drive", folder, signs))
    rates = [statistics.median(each["runs_per_second"] for each in found) for found in (with_it, without)]
    figures["ledger_share"] = statistics.median(each["ledger_share"] for each in with_it)
    figures["throughput_share"] = rates[0] / rates[1]
    if given.json:
        print(json.dumps(figures))
        return
    for name, found in figures.items():
        several = found if isinstance(found, dict) else {"": found}
        print(name, "  ".join(f"{key} {value:.6g}".strip() for key, value in several.items()))


if __name__ == "__main__":
    main()
