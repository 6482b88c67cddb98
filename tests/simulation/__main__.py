"""`python -m tests.simulation --seed N` plays one history and tells its story; `--histories K` plays K."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from tests.simulation.world import run_history


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first history")
    parser.add_argument("--histories", type=int, default=1, help="how many, one seed after another")
    parser.add_argument("--digests", action="store_true", help="tell only each seed and its history's digest")
    given = parser.parse_args()
    fired: Counter[str] = Counter()
    ends: Counter[str] = Counter()
    events = bad = 0
    begun = time.process_time()
    for seed in range(given.seed, given.seed + given.histories):
        history = run_history(seed)
        if given.digests:
            print(seed, history.digest)
            continue
        if given.histories == 1:
            print(*history.story, sep="\n")
        for what in history.found:
            print(f"seed {seed}: {what}")
        bad += bool(history.found)
        fired += history.fired
        ends.update(history.statuses)
        events += history.events
    if given.digests:
        return 0
    seconds = time.process_time() - begun
    print(f"{given.histories} histories, {events} events, {bad} bad, {seconds:.1f} s of processor time")
    print("runs ended:", dict(ends.most_common()))
    print("faults:", dict(fired.most_common()))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
