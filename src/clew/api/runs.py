"""Runs on record: lists of them, one of them, its journal, its end waited for."""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from clew.api.calls import VIEWER, Call, Endpoints, House
from clew.api.documents import (
    EntryDocument,
    EntryPage,
    Run,
    RunPage,
    RunStatus,
    moment,
    run_document,
    run_summary,
)
from clew.api.problems import Problem, bad_request, not_found
from clew.core.sealing.journal import read_entry
from clew.operations.records import REST, History, Records, Row
from clew.operations.records import see_it_is_here as see_run_is_here
from clew.operations.requests import RequestError

Json = Any

LOOK_SECONDS = 1
"""How often a run is looked at of which no news came: another process may drive it."""

runs = Endpoints("runs")


class RunsQuery(Struct, forbid_unknown_fields=True):
    """Which runs."""

    program: str | None = None
    status: RunStatus | None = None
    limit: Annotated[int, Meta(ge=1, le=500)] = 50
    cursor: str | None = None


@runs.add(
    "GET", "/api/v1/runs", role=VIEWER, about="List runs, the newest first.", query=RunsQuery, answer=RunPage
)
async def list_runs(call: Call) -> RunPage:
    query = call.query
    before = None if query.cursor is None else _read_cursor(query.cursor)
    found = await call.house.reader.ask(
        lambda records: records.store.runs(
            program=query.program, status=query.status, before=before, limit=query.limit + 1
        )
    )
    shown = found[: query.limit]
    after = _cursor(shown[-1]) if len(found) > query.limit else None
    return RunPage([run_summary(row) for row in shown], after)


def _cursor(row: Row) -> str:
    return urlsafe_b64encode(f"{row['launched_at']} {row['run_id']}".encode()).decode()


def _read_cursor(text: str) -> tuple[int, str]:
    try:
        at, _, run_id = urlsafe_b64decode(text.encode("ascii")).decode("ascii").partition(" ")
        found = int(at), run_id
    except ValueError:
        raise bad_request("this is no cursor; take the one of the page before") from None
    if not 0 <= found[0] < 2**53 or _cursor({"launched_at": found[0], "run_id": run_id}) != text:
        raise bad_request("this is no cursor; take the one of the page before")
    return found


def row_of(records: Records, run_id: str) -> Row:
    """The run's row. Raises Problem where there is no such run."""
    row = records.store.run(run_id)
    if row is None:
        raise not_found(f"there is no run '{run_id}' in this store")
    return row


def see_it_is_here(records: Records, run_id: str) -> Row:
    """The run's row. Raises Problem where there is no such run, or it was removed."""
    row = row_of(records, run_id)
    try:
        see_run_is_here(row)
    except RequestError as error:
        raise Problem(410, "removed", str(error)) from error
    return row


def history_of(records: Records, run_id: str) -> History:
    """All that is on record of it. Raises Problem where there is no such run, or it was removed."""
    row = see_it_is_here(records, run_id)
    try:
        return records.history(row)
    except RequestError as error:  # it has left since
        raise Problem(410, "removed", str(error)) from error


def document_of(records: Records, run_id: str) -> Run:
    history = history_of(records, run_id)
    return run_document(history, records.store.stages(run_id))


@runs.add(
    "GET", "/api/v1/runs/{run_id}", role=VIEWER, about="One run: its stages, and all that they gave.", answer=Run,
    problems=(404, 410),
)  # fmt: skip
async def show_run(call: Call) -> Run:
    return await call.house.reader.ask(lambda records: document_of(records, call.path["run_id"]))


class WaitQuery(Struct, forbid_unknown_fields=True):
    """For how many seconds at most."""

    seconds: Annotated[float, Meta(ge=0, le=300)] = 30


@runs.add(
    "GET", "/api/v1/runs/{run_id}/rest", role=VIEWER, query=WaitQuery, answer=Run, problems=(404, 410, 503),
    about="Wait until the run rests: it is settled, or a person is needed; or until the time is over. Then as above.",
)  # fmt: skip
async def wait_for_run(call: Call) -> Run:
    run_id = call.path["run_id"]
    await call.house.reader.ask(lambda records: row_of(records, run_id))
    await rested(call.house, run_id, call.query.seconds)
    return await call.house.reader.ask(lambda records: document_of(records, run_id))


async def rested(house: House, run_id: str, seconds: float) -> None:
    """Wait until the run rests, so long at most, or until this process is to end."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    with house.waiting, house.desk.news.expect(run_id) as news:
        while True:
            status = await house.reader.ask(lambda records: row_of(records, run_id)["status"])
            left = end - loop.time()
            if status in REST or left <= 0 or house.ends():
                return
            await news.come(min(left, LOOK_SECONDS))


class JournalQuery(Struct, forbid_unknown_fields=True):
    """Which entries: those after that one."""

    after: Annotated[int, Meta(ge=-1, lt=2**53)] = -1
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


@runs.add(
    "GET", "/api/v1/runs/{run_id}/journal", role=VIEWER, about="The journal of a run, entry by entry.",
    query=JournalQuery, answer=EntryPage, problems=(404, 410),
)  # fmt: skip
async def show_journal(call: Call) -> EntryPage:
    after, limit = call.query.after, call.query.limit

    def read(records: Records) -> EntryPage:
        see_it_is_here(records, call.path["run_id"])
        found = entries_after(records, call.path["run_id"], after, limit + 1)
        shown = found[:limit]
        return EntryPage(shown, shown[-1].seq if len(found) > limit else None)

    return await call.house.reader.ask(read)


def entries_after(records: Records, run_id: str, after: int, limit: int) -> list[EntryDocument]:
    """So many entries after that one. No more of the run is read, however long it is."""
    found = []
    for content, digest in records.store.journal(run_id, after)[:limit]:
        entry = read_entry(content.encode())
        body = msgspec.to_builtins(entry.body)
        row = records.store.payload(run_id, entry.seq) if entry.payload else None
        payload = None if row is None else msgspec.json.decode(records.content(row))
        found.append(
            EntryDocument(
                seq=entry.seq, at=moment(entry.at), kind=body.pop("kind"), body=body, hash=digest, payload=payload
            )
        )  # fmt: skip
    return found
