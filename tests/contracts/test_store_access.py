"""Every store knows who may ask, and what was asked for under which key, with the run that came of it."""

from __future__ import annotations

import pytest
from tests.contracts.test_store import created, following, new
from tests.contracts.test_store_removals import settle

from clew.ports import Erased, NewRequestKey, RemovedRun, RequestKeyRow, RunExists, RunRecord, TokenRow
from clew.stores.store import DatabaseStore

KEY = NewRequestKey("k", b"salt", "d" * 64)


def asked(run_id: str, generation: int, key: NewRequestKey) -> RunRecord:
    return created(run_id, generation)._replace(created=new(generation, request_key=key))


def test_a_token_is_known_until_it_is_revoked(store: DatabaseStore) -> None:
    access = store.access
    assert not access.has_tokens() and access.token("t1") is None
    one = TokenRow("t1", "loads", "operator", "d" * 64, 5, "me", 99)
    access.make_token(one)
    access.make_token(TokenRow("t2", "pages", "viewer", "e" * 64, 6, "me", None))
    assert access.has_tokens() and access.token("t1") == one
    access.token_is_used("t1", 7)
    assert access.revoke_token("t1", at=8, by="you")
    assert not access.revoke_token("t1", at=9, by="another")
    assert not access.revoke_token("none", at=9, by="another")
    assert access.token("t1") == one._replace(used_at=7, revoked_at=8, revoked_by="you")
    assert [row.token_id for row in access.tokens()] == ["t2", "t1"]
    assert access.has_tokens()


def test_under_a_key_one_run_comes_to_be(store: DatabaseStore) -> None:
    """Of two that are made at once the second is refused whole, with all others as they were."""
    assert store.record([asked("r1", 1, KEY)]) == []
    assert store.access.request("trip", "k") == RequestKeyRow("r1", b"salt", "d" * 64)
    assert store.access.request("other", "k") is None and store.access.request("trip", "l") is None
    for again in (NewRequestKey("k", b"other", "e" * 64), KEY):
        with pytest.raises(RunExists) as refused:
            store.record([created("r3", 3), asked("r2", 2, again)])
        assert refused.value.run_ids == ("r2",)
    assert [store.head(run_id) is None for run_id in ("r1", "r2", "r3")] == [False, True, True]
    both = [asked("r4", 4, KEY._replace(key="both")), asked("r5", 5, KEY._replace(key="both"))]
    with pytest.raises(RunExists) as refused:
        store.record(both)
    assert refused.value.run_ids == ("r5",)


def test_what_was_asked_for_can_not_be_guessed_from_what_is_left(store: DatabaseStore) -> None:
    """Once it is erased, or the run has left; the key is known all the same."""
    store.record(
        [asked("r1", 1, KEY), asked("r2", 2, KEY._replace(key="l")), asked("r3", 3, KEY._replace(key="m"))]
    )
    store.record([following("r1", 2, erased=Erased(2, 99))])
    settle(store, "r4", 4)
    settle(store, "r5", 5)
    assert store.access.request("trip", "k") == RequestKeyRow("r1", b"", "")
    assert store.access.request("trip", "m") == RequestKeyRow("r3", b"salt", "d" * 64)
    store.record([asked("r6", 6, KEY._replace(key="n"))])
    store.record([following("r6", 2, run=("failed", "", 30, "[]"))])
    assert store.removals.remove([RemovedRun("r6", 3, "")], 99) == ["r6"]
    assert store.access.request("trip", "n") == RequestKeyRow("r6", b"", "")


def test_keys_are_forgotten_some_at_a_time(store: DatabaseStore) -> None:
    """The oldest first, by when they were used."""
    keys = ["a", "b", "c"]
    for at, key in enumerate(keys, start=1):
        record = asked(f"r{at}", at, KEY._replace(key=key))
        assert record.created is not None
        store.record([record._replace(created=record.created._replace(launched_at=at))])
    assert [store.access.forget_requests(3, 1) for _ in range(3)] == [1, 1, 0]
    assert [store.access.request("trip", key) is None for key in keys] == [True, True, False]


def test_what_a_run_was_told_is_read_by_its_id(store: DatabaseStore) -> None:
    store.record([created("r1", 1)])
    store.instruct("i1", "r1", '{"verb":"pause"}', 5)
    assert store.instruction_content("i1") == '{"verb":"pause"}'
    assert store.instruction_content("i2") is None
