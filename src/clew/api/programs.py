"""Programs that are live: what is known of them, and runs of them that are asked for."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from clew.api.calls import OPERATOR, VIEWER, Answer, Call, Endpoints
from clew.api.documents import Pause, ProgramDocument, ProgramPage, RequestedRun, moment, moment_or_none
from clew.api.problems import not_found
from clew.api.runs import document_of, rested
from clew.operations.records import Records
from clew.operations.scheduling import program_document, program_documents

Json = Any

programs = Endpoints("programs")


def _document(found: dict[str, Json]) -> ProgramDocument:
    paused = found["paused"]
    return ProgramDocument(
        program=found["program"],
        version=found["version"],
        source=found["source"],
        live_since=moment(found["live_since"]),
        cadence=found["cadence"],
        timezone=found["timezone"],
        next=moment_or_none(found["next"]),
        paused=None if paused is None else Pause(moment(paused["at"]), paused["by"], paused["why"]),
    )


@programs.add(
    "GET", "/api/v1/programs", role=VIEWER, about="List the programs that are live.", answer=ProgramPage
)
async def list_programs(call: Call) -> ProgramPage:
    found = await call.house.reader.ask(lambda records: program_documents(records.store, records.program_of))
    return ProgramPage([_document(each) for each in found])


@programs.add(
    "GET", "/api/v1/programs/{program}", role=VIEWER, about="What is known of one of them.", answer=ProgramDocument,
    problems=(404,),
)  # fmt: skip
async def show_program(call: Call) -> ProgramDocument:
    def read(records: Records) -> dict[str, Json]:
        row = records.store.schedules.of(call.path["program"])
        if row is None or row.retired_at is not None:
            raise not_found(f"no program '{call.path['program']}' is live here")
        return program_document(records.store, row, records.program_of(row.version))

    return _document(await call.house.reader.ask(read))


class RunRequest(Struct, forbid_unknown_fields=True):
    """Which run is asked for. `wait`: seconds for which the answer waits until the run rests; 0 for not at all."""

    variables: dict[str, Json] = {}
    wait: Annotated[float, Meta(ge=0, le=300)] = 0


@programs.add(
    "POST", "/api/v1/programs/{program}/runs", role=OPERATOR, body=RunRequest, answer=RequestedRun, statuses=(201, 200),
    problems=(404, 409, 422), takes_key=True, example={"variables": {"region": "west"}, "wait": 30},
    about="Ask for a run. Asked for again under the same Idempotency-Key it is the same run, and the status is 200.",
)  # fmt: skip
async def request_run(call: Call) -> Answer:
    asked, house = call.body, call.house
    requested = await house.desk.request_run(
        call.path["program"], asked.variables, by=call.caller.by, key=call.headers.get("idempotency-key", "")
    )
    run = None
    if asked.wait:
        await rested(house, requested.run_id, asked.wait)
        run = await house.reader.ask(lambda records: document_of(records, requested.run_id))
    document = RequestedRun(run_id=requested.run_id, is_new=requested.is_new, run=run)
    headers = {"Location": f"/api/v1/runs/{requested.run_id}"}
    return Answer(document, 201 if requested.is_new else 200, headers)
