"""Statuses and legal moves stand in one place; SQL and the docs agree with it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from clew.core.running import statuses
from clew.core.running.entries import ENTRY_KINDS

ROOT = Path(__file__).parents[3]
DATABASES = ("sqlite", "postgres")
MIGRATIONS = {
    database: "".join(
        path.read_text()
        for path in sorted((ROOT / f"src/clew/stores/sql/{database}/migrations").glob("*.sql"))
    )
    for database in DATABASES
}
WORDS = (ROOT / "docs/words.md").read_text()


def listed(database: str, table: str) -> set[str]:
    """The statuses that the table's CHECK allows; or, where that would cost too much, that its comment lists."""
    created = MIGRATIONS[database].partition(f"CREATE TABLE {table} (")[2]
    column = re.split(r"  status text not null", created, maxsplit=1, flags=re.IGNORECASE)[1]
    check = re.match(r" CHECK \(status IN \(([^)]*)\)\)", column)
    text = check[1] if check else column[: column.index("no CHECK")]
    return set(re.findall(r"[a-z_]+", text))


@pytest.mark.parametrize("database", DATABASES)
@pytest.mark.parametrize(
    ("table", "found"), [("runs", statuses.RUN_STATUSES), ("stages", statuses.STAGE_STATUSES)]
)
def test_the_tracker_lists_the_statuses_that_there_are(
    database: str, table: str, found: tuple[str, ...]
) -> None:
    """Each table of the tracker names exactly the statuses of this module."""
    assert listed(database, table) == set(found)


def test_sql_knows_which_statuses_are_final() -> None:
    """Where SQL picks out the unsettled runs it names exactly the settled statuses."""
    queries = "".join(path.read_text() for path in (ROOT / "src/clew/stores/sql").glob("*/queries.sql"))
    lists = re.findall(r"status NOT IN \(([^)]*)\)", "".join(MIGRATIONS.values()) + queries)
    assert lists
    assert all(set(re.findall(r"'(\w+)'", found)) == statuses.SETTLED for found in lists)


@pytest.mark.parametrize(
    "status", sorted({*statuses.RUN_STATUSES, *statuses.STAGE_STATUSES, *statuses.OUTCOMES})
)
def test_the_page_of_words_explains_every_status(status: str) -> None:
    """Nobody meets a status that the page of words does not have."""
    assert f"`{status}`" in WORDS


@pytest.mark.parametrize(
    ("moves", "all_statuses"),
    [(statuses.RUN_MOVES, statuses.RUN_STATUSES), (statuses.STAGE_MOVES, statuses.STAGE_STATUSES)],
)
def test_the_tables_of_moves_are_closed(
    moves: dict[str, frozenset[str]], all_statuses: tuple[str, ...]
) -> None:
    """Every status has its row, and every move leads to another status that there is."""
    assert set(moves) == set(all_statuses)
    assert all(
        target in all_statuses and target != status for status, targets in moves.items() for target in targets
    )


def test_settled_is_settled() -> None:
    """Out of a final status a run can only be taken back, and out of every other one more than one move leads."""
    for status, targets in statuses.RUN_MOVES.items():
        assert (targets <= {statuses.ROLLING_BACK}) == (status in statuses.SETTLED), status


def test_there_is_no_rest_without_a_way_out() -> None:
    """From every status of a run or a stage a final one can be reached."""
    for moves in (statuses.RUN_MOVES, statuses.STAGE_MOVES):
        final = {status for status, targets in moves.items() if not targets}
        for status in moves:
            reached, edge = {status}, {status}
            while edge:
                edge = {target for one in edge for target in moves[one]} - reached
                reached |= edge
            assert reached & (final | {statuses.COMPLETED, statuses.FAILED})


def test_every_kind_of_entry_is_a_word() -> None:
    """Kinds are named in the past, in lower case with underscores, each once."""
    assert len(set(ENTRY_KINDS)) == len(ENTRY_KINDS)
    assert all(re.fullmatch(r"[a-z]+_[a-z_]+", kind) for kind in ENTRY_KINDS)
