"""What it costs to find a file in a bucket of S3: clew's search beside a list of all keys, interleaved in one run.

    python bench/searching.py [--json] [--rounds N] [--keys N]

Of the million keys of a bucket, in a hundred folders, each way finds the same file: four exact segments, and a regular
expression of which the greatest match counts. `narrow` has a literal start that 1 in 100 of the folder's names share;
`wide` has none.

Ways: `clew`; `all`, which lists every key with boto3's paginator and matches each; `folder`, the same by somebody who
knows S3 well: below the folder and the literal start only. The server lists what S3 would, is a process of its own on
this machine, and counts; with a store that is farther away, requests are what takes the time.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.object_stores.listing import Generated, ListingStore, Names
from tests.object_stores.serving import ENVIRONMENT

from clew.buckets import open_bucket
from clew.buckets.searching import search
from clew.core.planning.patterns import compile_regex, natural
from clew.core.planning.search import Found, Search
from clew.core.program.model import Dependency, Element
from clew.ports import Bucket

FOLDER = "sea/north/2024/gauge_b"
BUCKET = "million"


class Searched(NamedTuple):
    """A search: its name, the last element, and its literal start."""

    name: str
    match: str
    start: str


SEARCHES = [
    Searched("narrow", r"level_000\d+\.csv$", "level_000"),
    Searched("wide", r"(?:level|wave)_\d+\.csv$", ""),
]


def keys_of(count: int) -> Generated:
    """So many keys, in a hundred folders that hold the same."""
    each = count // 100
    folders = [
        f"sea/{region}/{year}/gauge_{one}/"
        for region in ("east", "north", "south", "west")
        for year in range(2021, 2026)
        for one in "abcde"
    ]
    parts = [
        Names(each // 20, "day_%04d.csv"),
        Names(each * 14 // 20, "level_%05d.csv"),
        Names(each // 20, "run_%04d/", ("a.csv", "b.csv")),
        Names(each * 3 // 20, "wave_%04d.csv"),
    ]
    return Generated(folders, parts)


# ---- the server, in a process of its own ----


def serve(count: int) -> None:
    """Say the address; then, for each line, how many list requests came since the last one."""
    listing = ListingStore(keys_of(count))
    with listing.running() as store:
        print(store.endpoint, flush=True)
        for _ in sys.stdin:
            print(len(listing.lists), flush=True)
            listing.lists.clear()


class Server(NamedTuple):
    endpoint: str
    questions: IO[str]
    answers: IO[str]

    def counted(self) -> int:
        self.questions.write("\n")
        self.questions.flush()
        return int(self.answers.readline())


@contextmanager
def server(count: int) -> Iterator[Server]:
    words = [sys.executable, __file__, "--serve", "--keys", str(count)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        yield Server(process.stdout.readline().strip(), process.stdin, process.stdout)
        process.stdin.close()


# ---- the ways ----


def by_clew(bucket: Bucket, client: Any, wanted: Searched) -> str:
    prefix = (*map(Element, FOLDER.split("/")), Element(wanted.match, "regex", "max"))
    outcome = search(Search([Dependency("file", BUCKET, prefix)], {}), lambda name: bucket)
    assert isinstance(outcome, Found), outcome
    value: Any = outcome.values["file"]
    return value["key"]


def by_all(bucket: Bucket, client: Any, wanted: Searched) -> str:
    return greatest(client, wanted, "")


def by_folder(bucket: Bucket, client: Any, wanted: Searched) -> str:
    return greatest(client, wanted, f"{FOLDER}/{wanted.start}", "/")


def greatest(client: Any, wanted: Searched, prefix: str, delimiter: str = "") -> str:
    matches = compile_regex(f"{FOLDER}/{wanted.match}").match
    found = [
        one["Key"]
        for page in client.get_paginator("list_objects_v2").paginate(
            Bucket=BUCKET, Prefix=prefix, Delimiter=delimiter
        )
        for one in page.get("Contents", ())
        if matches(one["Key"])
    ]
    return max(found, key=natural)


WAYS: dict[str, Callable[[Bucket, Any, Searched], str]] = {
    "clew": by_clew,
    "folder": by_folder,
    "all": by_all,
}

TURNS = ("clew", "folder", "clew", "folder", "all", "folder", "clew")
"""Of a round: those that take no time on both sides of the one that takes minutes."""


# ---- figures ----


def measured(rounds: int, count: int) -> list[dict[str, object]]:
    """Every search by every way, the ways taking turns, `rounds` times."""
    import boto3

    os.environ.update(ENVIRONMENT)
    seconds: dict[tuple[str, str], list[float]] = {}
    requests: dict[tuple[str, str], int] = {}
    with server(count) as listing:
        bucket = open_bucket(f"s3://{BUCKET}?endpoint={listing.endpoint}", {}, None)
        client = boto3.client("s3", endpoint_url=listing.endpoint, region_name="us-east-1")
        for way in ("clew", "folder"):
            WAYS[way](bucket, client, SEARCHES[0])  # connections and imports are start-up
        listing.counted()
        for _ in range(rounds):
            for wanted in SEARCHES:
                found = set()
                for way in TURNS:
                    started = time.perf_counter()
                    found.add(WAYS[way](bucket, client, wanted))
                    seconds.setdefault((wanted.name, way), []).append(time.perf_counter() - started)
                    requests[wanted.name, way] = listing.counted()
                assert len(found) == 1, f"the ways found different files: {found}"
    return [
        {
            "search": name,
            "way": way,
            "keys": count,
            "requests": requests[name, way],
            "seconds": round(statistics.median(each), 4),
            "range_seconds": [round(min(each), 4), round(max(each), 4)],
        }
        for (name, way), each in seconds.items()
    ]


def ratios(rows: list[dict[str, Any]]) -> list[dict[str, object]]:
    """The others' figures by clew's: above 1 is what clew saves."""
    of_clew = {row["search"]: row for row in rows if row["way"] == "clew"}
    return [
        {
            "search": row["search"],
            "clew_saves_beside": row["way"],
            "requests_ratio": round(row["requests"] / of_clew[row["search"]]["requests"], 1),
            "seconds_ratio": round(row["seconds"] / of_clew[row["search"]]["seconds"], 2),
        }
        for row in rows
        if row["way"] != "clew"
    ]


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    reader.add_argument("--json", action="store_true")
    reader.add_argument("--rounds", type=int, default=1, help="of minutes each")
    reader.add_argument("--keys", type=int, default=1_000_000, help="a multiple of 2,000")
    reader.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = reader.parse_args()
    if given.keys < 2_000 or given.keys % 2_000:
        reader.error("--keys takes a multiple of 2,000")
    if given.serve:
        serve(given.keys)
        return
    rows = measured(given.rounds, given.keys)
    found = ratios(rows)
    if given.json:
        print(json.dumps({"measurements": rows, "ratios": found}, indent=1))
        return
    for row in [*rows, *found]:
        print("  ".join(f"{key} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
