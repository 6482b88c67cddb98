"""What people tell runs: each is an instruction that the run obeys or refuses, and that stands in its journal."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from clew.api.calls import ADMIN, OPERATOR, VIEWER, Answer, Call, Endpoints
from clew.api.documents import Told
from clew.api.problems import Problem, not_found
from clew.api.runs import history_of
from clew.core.running.instructions import Instruction, Verb
from clew.operations.instructing import checked_instruction
from clew.operations.records import Records
from clew.operations.requests import RequestError
from clew.ports import InstructionRow

Json = Any

telling = Endpoints("telling runs")

ANSWER_SECONDS = 10
"""How long a call waits for the run to obey, or refuse. What was said stands all the same."""

Reason = Annotated[str, Meta(max_length=10_000)]
Name = Annotated[str, Meta(min_length=1, max_length=1_000)]


class Plain(Struct, forbid_unknown_fields=True):
    """Why it is said; it stands in the journal."""

    reason: Reason = ""


class OfStage(Struct, forbid_unknown_fields=True, kw_only=True):
    """Of which stage."""

    stage: Name
    reason: Reason = ""


class Skip(Struct, forbid_unknown_fields=True, kw_only=True):
    """Which stage the run goes on without. `outputs`: what it is to have given, where others read it."""

    stage: Name
    outputs: dict[str, Json] = {}
    reason: Reason = ""


class Supply(Struct, forbid_unknown_fields=True, kw_only=True):
    """The value of an input for which the run waits."""

    input: Name
    value: Json
    reason: Reason = ""


_VERBS: dict[Verb, tuple[type[Any], str]] = {
    "cancel": (Plain, "End the run, and undo what it did."),
    "stop": (Plain, "End the run, and undo nothing."),
    "pause": (Plain, "Begin no further stage of the run."),
    "unpause": (Plain, "Let a paused run go on."),
    "resume": (Plain, "Let a run go on that is held."),
    "retry": (OfStage, "Try a stage again that has failed, or a rollback."),
    "skip": (Skip, "Go on without a stage, or without its rollback."),
    "supply": (Supply, "Give the run a value that it waits for."),
    "rollback": (Plain, "Undo what a run did that has ended, or is held."),
    "rewind": (OfStage, "Undo back to a stage, and go on from there."),
    "erase": (Plain, "Erase for good what a settled run and its stages have said."),
}


def _instruction(verb: Verb, by: str, body: Any) -> Instruction:
    match body:
        case OfStage():
            return Instruction(verb, by, body.reason, stage=body.stage)
        case Skip():
            return Instruction(verb, by, body.reason, stage=body.stage, values=body.outputs)
        case Supply():
            return Instruction(verb, by, body.reason, values={body.input: body.value})
        case _:
            return Instruction(verb, by, body.reason)


def _declare(verb: Verb, body: type[Any], about: str) -> None:
    role = ADMIN if verb == "erase" else OPERATOR

    @telling.add(
        "POST", f"/api/v1/runs/{{run_id}}/{verb}", role=role, about=about, body=body, answer=Told, takes_key=True,
        name=f"{verb}_run", statuses=(200, 202), problems=(404, 409, 410, 422),
    )  # fmt: skip
    async def tell(call: Call) -> Answer:
        run_id, house = call.path["run_id"], call.house
        said = _instruction(verb, call.caller.by, call.body)
        key = call.headers.get("idempotency-key", "")

        def checked(records: Records) -> Instruction:
            history = history_of(records, run_id)
            try:
                return checked_instruction(history, said)
            except RequestError as error:
                raise Problem(409, "refused", str(error)) from error

        # What was said before under its key is not refused since the run has obeyed.
        is_known = bool(key) and house.desk.was_told(run_id, key)
        instruction = said if is_known else await house.reader.ask(checked)
        instruction_id = await house.desk.instruct(run_id, instruction, key=key)
        row = await house.desk.answer(run_id, instruction_id, ANSWER_SECONDS)
        told = told_of(instruction_id, row)
        if told.answer == "refused":
            raise Problem(409, "refused", told.why)
        headers = {"Location": f"/api/v1/runs/{run_id}/instructions/{instruction_id}"}
        return Answer(told, 200 if told.answer == "obeyed" else 202, headers)


for _verb, (_body, _about) in _VERBS.items():
    _declare(_verb, _body, _about)


@telling.add(
    "GET", "/api/v1/runs/{run_id}/instructions/{instruction_id}", role=VIEWER, answer=Told, problems=(404,),
    about="What became of something that the run was told.",
)  # fmt: skip
async def show_instruction(call: Call) -> Told:
    instruction_id = call.path["instruction_id"]
    row = await call.house.reader.ask(lambda records: records.store.instruction(instruction_id))
    if row is None:
        raise not_found(f"there is no instruction '{instruction_id}'")
    return told_of(instruction_id, row)


def told_of(instruction_id: str, row: InstructionRow | None) -> Told:
    answer: Any = "waiting" if row is None or row.answer is None else row.answer
    return Told(
        instruction_id=instruction_id,
        answer=answer,
        entry=None if row is None else row.seq,
        why="" if row is None else row.why,
    )
