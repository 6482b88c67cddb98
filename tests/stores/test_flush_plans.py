"""What a flush on PostgreSQL costs does not depend on how much is stored: each of its statements goes by keys."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from tests.databases.postgres import PostgresServer

from clew.stores.postgres import PostgresStore

FINDING = (
    "advance_run",
    "update_run",
    "launch_run",
    "update_stage",
    "delete_items",
    "put_item",
    "obey_instruction",
)
"""The statements of a flush that look for rows which are there."""

KEYS = {"runs": ["run_id"], "stages": ["run_id", "position"], "instructions": ["instruction_id"]}
"""By what the rows of a table are found."""


@pytest.fixture(params=["empty", "full"])
def store(request: pytest.FixtureRequest, postgres: PostgresServer) -> Iterator[PostgresStore]:
    """A store of which the planner knows that it is empty, or that it is full."""
    opened = PostgresStore(postgres.url(postgres.new_database()))
    if request.param == "full":
        opened._connection.execute_script(_FILL)
    yield opened
    opened.close()


@pytest.mark.parametrize("name", FINDING)
def test_a_statement_of_a_flush_goes_by_keys(store: PostgresStore, name: str) -> None:
    """Whatever it knows of the tables, the planner looks each row up in an index by what the flush gives of it."""
    text, connection = store._connection._queries[name][0], store._connection
    places = len(set(re.findall(r"\$\d+", text)))
    with store._transaction():
        store._rows("begin_flush")
        connection.execute_script(f"PREPARE explained AS {text}")
        nulls = ", ".join(["NULL"] * places)
        plan = [line for (line,) in connection.execute(f"EXPLAIN (COSTS off) EXECUTE explained ({nulls})")]
        connection.execute_script("DEALLOCATE explained")
    told = "\n".join(plan)
    looked_up = re.findall(r"Scan (?:using \w+ )?on (runs|stages|instructions)\b.*\n\s*(.*)", told)
    assert looked_up, told
    for table, condition in looked_up:
        for key in KEYS[table]:
            assert re.search(rf'Index Cond: .*"?{key}"? = [^)]*given', condition), told


_FILL = """
INSERT INTO runs (run_id, program, version, run_name, run_time, launched_at, status, requested_by, generation, epoch,
  entry_count, head, origin)
SELECT 'run-' || n, 'trip', 'v', n, n, n, 'completed', '', 1, 1, 1, '', '' FROM generate_series(1, 5000) AS n;
INSERT INTO stages (run_id, position, name, block, status)
SELECT 'run-' || n, position, '', 1, 'completed' FROM generate_series(1, 5000) AS n, generate_series(0, 3) AS position;
INSERT INTO instructions (instruction_id, run_id, content, said_at)
SELECT n, 'run-' || n, '', n FROM generate_series(1, 1000) AS n;
ANALYZE;
"""
