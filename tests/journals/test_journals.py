"""Journals that were recorded once hold, and mean the same, for every later version."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.journals.recording import FOLDER, meaning_of, read, written

from clew.core.running.entries import ENTRY_KINDS, HOLD_REASONS
from clew.core.sealing.journal import verify_journal
from clew.operations.proving import follow

RECORDED = sorted(FOLDER.glob("*.jsonl"))


def test_there_are_a_dozen_and_they_show_every_kind_of_entry() -> None:
    """No kind of entry is without a journal that has it, and no reason for which a run is held."""
    assert len(RECORDED) >= 12
    texts = "".join(path.read_text() for path in RECORDED)
    assert [kind for kind in ENTRY_KINDS if f'\\"kind\\":\\"{kind}\\"' not in texts] == []
    assert [reason for reason in HOLD_REASONS if f'\\"reason\\":\\"{reason}\\"' not in texts] == []


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_recorded_run_means_what_it_meant(path: Path) -> None:
    """Its program has the same version and plan, its journal holds, and each entry leads where it led."""
    recorded = read(path)
    program = recorded.sealed()
    assert program.version == recorded.version
    assert [[block.index, block.content.decode(), block.hash] for block in program.chain] == recorded.chain
    assert verify_journal(recorded.run_id, recorded.journal)[0].prev == program.plan_hash
    meaning = meaning_of(program, recorded.run_id, recorded.journal)
    for name, meant in recorded.meaning.items():
        assert meaning[name] == meant, name
    assert follow(program, verify_journal(recorded.run_id, recorded.journal)).flaw is None
    assert written(recorded) == path.read_text(encoding="utf-8"), "reading it loses something"
