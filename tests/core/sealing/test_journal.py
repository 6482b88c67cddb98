"""A journal that was changed in any way does not hold, and the first bad entry is named."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.running.story import Story, stage

from clew.core.running.entries import RunCreated, RunHeld, RunReleased, RunSettled, RunTaken
from clew.core.sealing.canonical import ENTRY_TAG, tagged_hash
from clew.core.sealing.journal import Head, JournalError, StoredEntry, read_entry, verify_journal

STORY = Story(stage("a", writes=["x"]), stage("b", reads=["x"])).complete("a").fail("b")
JOURNAL = STORY.stored


def bad(journal: list[StoredEntry], run: str = "run-1") -> int:
    """The first entry that does not hold."""
    with pytest.raises(JournalError) as caught:
        verify_journal(run, journal)
    assert str(caught.value).startswith(f"entry {caught.value.seq}: ")
    return caught.value.seq


def linked(*bodies: object, run: str = "run-1", epochs: tuple[int, ...] = ()) -> list[StoredEntry]:
    """A journal of these bodies, every hash and link of it right."""
    head = Head(run, 0, "p" * 64)
    return [
        head.link(body, at=at, epoch=epochs[at] if epochs else 1)[1]  # type: ignore[arg-type]
        for at, body in enumerate(bodies)
    ]


CREATED = RunCreated("p", "v", "p" * 64, "n", 1, 1, "t")


def test_a_journal_as_it_was_written_holds() -> None:
    """Its entries come back as they were told."""
    assert verify_journal("run-1", JOURNAL) == STORY.entries


def test_every_changed_byte_is_found_where_it_is() -> None:
    """Whatever byte of whatever entry is whatever else, that entry does not hold."""
    for seq, entry in enumerate(JOURNAL):
        for at in range(len(entry.content)):
            for changed in {entry.content[at] ^ 1, entry.content[at] ^ 32, ord("0"), ord('"')} - {
                entry.content[at]
            }:
                content = entry.content[:at] + bytes([changed]) + entry.content[at + 1 :]
                assert bad([*JOURNAL[:seq], StoredEntry(content, entry.hash), *JOURNAL[seq + 1 :]]) == seq


def test_every_changed_hash_is_found() -> None:
    """A hash that is not its entry's is no better than another entry."""
    for seq, entry in enumerate(JOURNAL):
        changed = StoredEntry(entry.content, entry.hash[:-1] + ("0" if entry.hash[-1] != "0" else "1"))
        assert bad([*JOURNAL[:seq], changed, *JOURNAL[seq + 1 :]]) == seq


def test_a_change_with_its_hash_made_right_breaks_the_next_link() -> None:
    """Whoever changes an entry and its hash has changed what the next one links to."""
    content = JOURNAL[1].content.replace(b'"attempt":1', b'"attempt":2')
    forged = StoredEntry(content, tagged_hash(ENTRY_TAG, content))
    assert bad([JOURNAL[0], forged, *JOURNAL[2:]]) == 2


@given(st.integers(0, len(JOURNAL) - 1), st.integers(0, len(JOURNAL) - 1))
def test_nothing_can_be_left_out_put_in_or_put_elsewhere(one: int, other: int) -> None:
    """Deletions, insertions and swaps are found, at the first place that is not as it was."""
    if one < len(JOURNAL) - 1:  # what is cut off the end only a checkpoint shows
        assert bad(JOURNAL[:one] + JOURNAL[one + 1 :]) == one
    assert bad([*JOURNAL[:one], JOURNAL[other], *JOURNAL[one:]]) == (one if one != other else one + 1)
    if one != other:
        swapped = list(JOURNAL)
        swapped[one], swapped[other] = swapped[other], swapped[one]
        assert bad(swapped) == min(one, other)


def test_a_journal_stands_for_its_run_only() -> None:
    """Another run's journal is not this one's, and none at all is none."""
    assert bad(JOURNAL, run="run-2") == 0
    assert bad([]) == 0


def test_it_begins_with_the_runs_creation_and_links_to_its_plan() -> None:
    """The first entry says the plan's hash, and is linked to it."""
    assert bad(linked(RunTaken("x"))) == 0
    assert bad(linked(RunCreated("p", "v", "q" * 64, "n", 1, 1, "t"))) == 0


def test_an_epoch_never_falls() -> None:
    """What was written under an epoch that had been taken over does not belong there."""
    assert bad(linked(CREATED, RunTaken("x"), RunHeld("code_gone"), epochs=(1, 2, 1))) == 2
    assert (
        len(verify_journal("run-1", linked(CREATED, RunTaken("x"), RunReleased("y"), epochs=(1, 2, 2)))) == 3
    )


@pytest.mark.parametrize(
    "written",
    [
        lambda text: text.replace('"epoch":1', '"epoch": 1'),
        lambda text: text.replace('"epoch":1', '"epoch":1.0'),
        lambda text: text.replace('"epoch":1', '"epoch":1,"epoch":1'),
        lambda text: text.replace('"epoch":1', '"epoch":1,"more":1'),
        lambda text: text.replace('"status":"completed"', '"status":"c\\u006fmpleted"'),
        lambda text: text.replace('"status":"completed"', '"residue":[],"status":"completed"'),
        lambda text: json.dumps(dict(reversed(json.loads(text).items())), separators=(",", ":")),
        lambda text: text.replace("run_settled", "run_ended"),
        lambda text: text[:-1],
        lambda text: text + " ",
        lambda text: "[]",
    ],
)
def test_there_is_one_way_to_write_an_entry(written: object) -> None:
    """The same thing in other bytes, or with more in it, is no entry."""
    (_, entry) = linked(CREATED, RunSettled("completed"))
    text = written(entry.content.decode())  # type: ignore[operator]
    assert text != entry.content.decode()
    with pytest.raises(ValueError, match="not"):
        read_entry(text.encode())
    with pytest.raises(ValueError, match="not"):
        read_entry(b"\xff")
