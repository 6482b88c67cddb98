"""A run followed as it goes: server-sent events (HTML Living Standard, 9.2), each an entry of its journal.

They are read from the record and from nothing else, so that whoever comes back with the id of the last event that they
saw misses none, and sees none twice, whatever has happened to this process meanwhile.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from clew.api.calls import VIEWER, Answer, Call, Endpoints
from clew.api.documents import EntryDocument
from clew.api.problems import bad_request
from clew.api.runs import entries_after, row_of, see_it_is_here
from clew.core.running.statuses import SETTLED
from clew.operations.records import Records

events = Endpoints("events")

LOOK_SECONDS = 1
"""How often a run is looked at of which no news came: another process may drive it."""

ALIVE_SECONDS = 15
"""How often something is sent, so that whoever is in between keeps the connection."""

ENTRIES_TOGETHER = 200


class FollowQuery(Struct, forbid_unknown_fields=True):
    """After which entry; the header Last-Event-ID comes first."""

    after: Annotated[int, Meta(ge=-1, lt=2**53)] = -1


@events.add(
    "GET", "/api/v1/runs/{run_id}/events", role=VIEWER, query=FollowQuery, media="text/event-stream",
    problems=(404, 410, 503),
    about="Follow a run: each entry of its journal is an event `entry`, whose id is the entry's number. When the run "
    "is settled, an event `settled` ends the stream. Come back with Last-Event-ID: nothing is missed, or comes twice.",
)  # fmt: skip
async def follow_run(call: Call) -> Answer:
    run_id, after = call.path["run_id"], call.query.after
    last = call.headers.get("last-event-id")
    if last is not None:
        if not (last.isdecimal() and len(last) < 16):
            raise bad_request("Last-Event-ID is the id of an event of this stream, a number")
        after = int(last)
    await call.house.reader.ask(lambda records: see_it_is_here(records, run_id))
    call.house.waiting.see()
    return Answer(stream=_follow(call, run_id, after))


async def _follow(call: Call, run_id: str, after: int) -> AsyncIterator[bytes]:
    house, quiet = call.house, 0.0

    def read(records: Records) -> tuple[list[EntryDocument], bool]:
        """What has come since, and whether that is all there will be."""
        row = row_of(records, run_id)
        if row["entry_count"] <= after + 1:
            return [], row["status"] in SETTLED
        return entries_after(records, run_id, after, ENTRIES_TOGETHER), False

    with house.waiting, house.desk.news.expect(run_id) as news:
        yield b"retry: 1000\n\n"
        while not house.ends():
            found, is_settled = await house.reader.ask(read)
            if found or is_settled:
                quiet = 0.0
                for each in found:
                    yield _event("entry", each.seq, each)
                    after = each.seq
                if is_settled:
                    yield _event("settled", after, {})
                    return
                continue
            if not await news.come(LOOK_SECONDS):
                quiet += LOOK_SECONDS
                if quiet >= ALIVE_SECONDS:
                    quiet = 0.0
                    yield b": alive\n\n"


def _event(name: str, seq: int, document: Any) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (seq, name.encode(), msgspec.json.encode(document))
