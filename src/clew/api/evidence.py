"""What runs wrote, and what proves what they did."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from itertools import islice
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from clew.api.calls import VIEWER, Answer, Call, Endpoints
from clew.api.documents import CheckpointDocument, LogOfRun, LogPage
from clew.api.problems import not_found
from clew.api.runs import history_of
from clew.operations.logs import Log, logs_of
from clew.operations.records import Records
from clew.wiring import log_path
from clew.wiring.exporting import export_run, signed_now

evidence = Endpoints("evidence")

LINES_TOGETHER = 200
PIECE_SIZE = 256 * 1024


@evidence.add(
    "GET", "/api/v1/runs/{run_id}/logs", role=VIEWER, about="Which logs there are of a run.", answer=LogPage,
    problems=(404, 410),
)  # fmt: skip
async def list_logs(call: Call) -> LogPage:
    run_id, folder = call.path["run_id"], call.house.settings.logs

    def read(records: Records) -> LogPage:
        found = logs_of(history_of(records, run_id))
        return LogPage(
            [LogOfRun(log.stage, _work(log), log.attempt, _size(folder, run_id, log)) for log in found]
        )

    return await call.house.reader.ask(read)


def _work(log: Log) -> Any:
    return log.work


def _size(folder: str, run_id: str, log: Log) -> int:
    with suppress(FileNotFoundError):
        return os.stat(log_path(folder, run_id, log.stage, log.number)).st_size
    return 0


class LogQuery(Struct, forbid_unknown_fields=True, kw_only=True):
    """Which log."""

    stage: Annotated[str, Meta(min_length=1)]
    attempt: Annotated[int, Meta(ge=1, lt=2**53)] = 1
    work: Literal["attempt", "rollback"] = "attempt"


@evidence.add(
    "GET", "/api/v1/runs/{run_id}/log", role=VIEWER, query=LogQuery, media="text/plain", problems=(404, 410),
    about="What one attempt wrote, or one try at a rollback, as it stands on this machine: secrets are masked.",
)  # fmt: skip
async def show_log(call: Call) -> Answer:
    run_id, query = call.path["run_id"], call.query

    def read(records: Records) -> Any:
        for log in logs_of(history_of(records, run_id)):
            if (log.stage, log.attempt, log.work) == (query.stage, query.attempt, query.work):
                with suppress(FileNotFoundError):
                    return open(log_path(call.house.settings.logs, run_id, log.stage, log.number), "rb")
        raise not_found(f"there is no log of {query.work} {query.attempt} of '{query.stage}' on this machine")

    file = await call.house.reader.ask(read)
    return Answer(stream=_content(call, file), headers={"Content-Disposition": "attachment"})


async def _content(call: Call, file: Any) -> AsyncIterator[bytes]:
    with file:
        while piece := await call.house.desk.outside(lambda: file.read(PIECE_SIZE)):
            yield piece


@evidence.add(
    "GET", "/api/v1/runs/{run_id}/export", role=VIEWER, media="application/x-ndjson", problems=(404, 410),
    about="All that is on record of a run, and the proof that it is in the signed tree of all runs.",
)  # fmt: skip
async def export(call: Call) -> Answer:
    run_id, house = call.path["run_id"], call.house
    await house.reader.ask(lambda records: history_of(records, run_id))
    lines = export_run(house.settings, run_id, ())
    first = await house.desk.outside(lambda: list(islice(lines, LINES_TOGETHER)))
    return Answer(
        stream=_lines(call, first, lines),
        headers={"Content-Disposition": f'attachment; filename="{run_id}.clew"'},
    )


async def _lines(call: Call, first: list[bytes], lines: Iterator[bytes]) -> AsyncIterator[bytes]:
    some = first
    while some:
        yield b"".join(some)
        some = await call.house.desk.outside(lambda: list(islice(lines, LINES_TOGETHER)))


@evidence.add(
    "GET", "/api/v1/checkpoint", role=VIEWER, answer=CheckpointDocument,
    about="What the tree of all runs is now, signed: kept elsewhere, it finds what is dropped or written anew.",
)  # fmt: skip
async def show_checkpoint(call: Call) -> CheckpointDocument:
    note, key = await call.house.desk.outside(lambda: signed_now(call.house.settings))
    return CheckpointDocument(note, str(key))
