"""Many runs' records as the statements of one flush: of each table one, whatever the number of runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from clew.ports import RunRecord
from clew.stores.postgres_arrays import binaries, integers, texts
from clew.stores.postgres_connection import Statement

_KINDS: dict[str, Callable[[Sequence[Any]], bytes]] = {"t": texts, "i": integers, "b": binaries}

_RUN, _STAGE, _ITEM = "ttttiititttiiit", "itittiiiitii", "tiiitittiiii"
"""Of which kind the columns of these rows are."""


def statements_of(records: Sequence[RunRecord], owner: str) -> list[Statement]:
    """What writes these records, in the order in which it is written on every database. `owner`: who drives the
    runs that come to be."""
    statements: list[Statement] = []

    def write(name: str, kinds: str, rows: Sequence[Sequence[Any]]) -> None:
        if rows:
            columns = zip(*rows, strict=True)
            statements.append(
                (name, [_KINDS[kind](column) for kind, column in zip(kinds, columns, strict=True)])
            )

    fresh = [(record, record.created) for record in records if record.created is not None]
    if fresh:
        made = [(record.run_id, *new[:8], *new[9:13], record.epoch, owner) for record, new in fresh]
        write("insert_run", _RUN, made)
        keys = [
            (new.program, new.request_key.key, record.run_id, *new.request_key[1:], new.launched_at)
            for record, new in fresh
            if new.request_key is not None
        ]
        write("insert_request_key", "tttbti", keys)
        write(
            "insert_stage", "titi", [(record.run_id, *stage) for record, new in fresh for stage in new.stages]
        )
    advanced = [(*each.advanced, each.run_id, each.epoch, each.entry_count) for each in records]
    write("advance_run", "ittii", advanced)
    write("update_run", "ttitt", [(*each.run, each.run_id) for each in records if each.run is not None])
    write("insert_entry", "titt", [(each.run_id, *entry) for each in records for entry in each.entries])
    write(
        "update_stage", _STAGE, [(*row[2:], each.run_id, *row[:2]) for each in records for row in each.stages]
    )
    if any(each.dropped or each.items or each.obeyed or each.launched_at or each.erased for each in records):
        erased = [(each.run_id, each.erased) for each in records if each.erased is not None]
        write("erase_payloads", "ti", [(run_id, one.seq) for run_id, one in erased])
        write("erase_instructions", "t", [(run_id,) for run_id, _ in erased])
        write("erase_request_keys", "t", [(run_id,) for run_id, _ in erased])
        write("note_erased", "it", [(one.at, run_id) for run_id, one in erased])
        write("insert_object_due", "ti", [(run_id, one.seq) for run_id, one in erased])
        write(
            "delete_items", "ti", [(each.run_id, position) for each in records for position in each.dropped]
        )
        write("put_item", _ITEM, [(each.run_id, *row) for each in records for row in each.items])
        write("obey_instruction", "it", [said for each in records for said in each.obeyed])
        write("launch_run", "it", [(each.launched_at, each.run_id) for each in records if each.launched_at])
    write(
        "insert_payload", "tibtt", [(each.run_id, *payload) for each in records for payload in each.payloads]
    )
    write(
        "insert_leaf_due", "ttit",
        [(each.run_id, kind, *each.advanced) for each in records for kind in each.leaves],
    )  # fmt: skip
    return statements
