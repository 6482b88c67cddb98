"""Programs that are live: what is known of them, and runs of them that are asked for."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any

from msgspec import Meta, Struct

from clew.api.calls import OPERATOR, VIEWER, Answer, Call, Endpoints
from clew.api.documents import (
    DueTimes,
    Pause,
    PausedProgram,
    ProgramDocument,
    ProgramPage,
    RequestedRun,
    moment,
    moment_or_none,
)
from clew.api.problems import Problem, bad_request, not_found
from clew.api.runs import document_of, rested
from clew.core.program.model import Program
from clew.desk import Conflict
from clew.operations.records import Records
from clew.operations.requests import RequestError
from clew.operations.scheduling import program_document, program_documents
from clew.wiring import describe_plan, due_times, pause_program

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


def live_program(records: Records, name: str) -> Program:
    """The version of that name that is live. Raises Problem where none is."""
    row = records.store.schedules.of(name)
    if row is None or row.retired_at is not None:
        raise not_found(f"no program '{name}' is live here")
    return records.program_of(row.version)


@programs.add(
    "GET", "/api/v1/programs/{program}/plan", role=VIEWER, answer=dict, problems=(404,),
    about="What a run of the program would do: its blocks, who feeds whom, what is undone, and in which order.",
)  # fmt: skip
async def show_plan(call: Call) -> Json:
    house = call.house
    program = await house.reader.ask(lambda records: live_program(records, call.path["program"]))
    return await house.desk.outside(lambda: describe_plan(program, {}, house.settings))


class TimesQuery(Struct, forbid_unknown_fields=True):
    """After, or before, which moment, and how many."""

    after: str | None = None
    before: str | None = None
    count: Annotated[int, Meta(ge=1, le=500)] = 10


@programs.add(
    "GET", "/api/v1/programs/{program}/times", role=VIEWER, query=TimesQuery, answer=DueTimes, problems=(404, 422),
    about="When the program is due after that moment, or now; or when it was before, the latest first.",
)  # fmt: skip
async def show_times(call: Call) -> DueTimes:
    query = call.query
    if query.after is not None and query.before is not None:
        raise bad_request("say after which moment, or before which one")
    program = await call.house.reader.ask(lambda records: live_program(records, call.path["program"]))
    moment_given, back = query.before or query.after, query.before is not None
    found = await call.house.desk.outside(lambda: due_times(program, moment_given, query.count, back=back))
    return DueTimes(found["times"])


class PauseRequest(Struct, forbid_unknown_fields=True):
    """Why."""

    reason: Annotated[str, Meta(max_length=10_000)] = ""


def _declare_pause(verb: str, about: str, *, is_paused: bool) -> None:
    @programs.add(
        "POST", f"/api/v1/programs/{{program}}/{verb}", role=OPERATOR, body=PauseRequest, answer=PausedProgram,
        about=about, problems=(404, 409, 422), name=f"{verb}_program",
    )  # fmt: skip
    async def pause(call: Call) -> PausedProgram:
        house, name, by, why = call.house, call.path["program"], call.caller.by, call.body.reason
        await house.reader.ask(lambda records: live_program(records, name))
        try:
            done = await house.desk.outside(
                lambda: pause_program(house.settings, name, is_paused=is_paused, by=by, why=why)
            )
        except RequestError as error:
            raise Conflict(str(error)) from error
        return PausedProgram(done["program"], done["paused"], moment(done["at"]), done["by"], done["why"])


_declare_pause("pause", "Run the program no more when it is due, until it is told to go on.", is_paused=True)
_declare_pause("unpause", "Run a paused program again when it is due.", is_paused=False)


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
    if asked.wait:
        house.waiting.see()  # before anything is done
    requested = await house.desk.request_run(
        call.path["program"], asked.variables, by=call.caller.by, key=call.headers.get("idempotency-key", "")
    )
    run = None
    if asked.wait:
        with suppress(Problem):  # others were first: it is told as it is now
            await rested(house, requested.run_id, asked.wait)
        run = await house.reader.ask(lambda records: document_of(records, requested.run_id))
    document = RequestedRun(run_id=requested.run_id, is_new=requested.is_new, run=run)
    headers = {"Location": f"/api/v1/runs/{requested.run_id}"}
    return Answer(document, 201 if requested.is_new else 200, headers)
