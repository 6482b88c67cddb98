"""Programs of Python functions are the programs that files describe."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from clew.authoring.decorators import StageFunction, stage
from clew.authoring.python_programs import FunctionProgram
from clew.commands import SIGNATURES
from clew.conditions import SIGNATURES as CONDITIONS
from clew.core.program.content import content
from clew.core.program.model import Dependency, InputDependency, Program, Rollback
from clew.core.program.parse import parse
from clew.core.program.problems import ProgramError


def read(document: Any) -> Program:
    return parse(document, SIGNATURES, CONDITIONS)


def program(*stages: StageFunction[..., Any], **more: Any) -> Program:
    """The program of these stages, as it is read to be run."""
    return read(content(FunctionProgram("p", stages=stages, **more).model))


def problems(*stages: StageFunction[..., Any], **more: Any) -> list[str]:
    with pytest.raises(ProgramError) as caught:
        program(*stages, **more)
    return [str(one) for one in caught.value.problems]


def called(name: str, *parameters: str) -> dict[str, Any]:
    """The command that calls a function of this module."""
    function = f"{__name__}:{name}"
    return {
        "command": "python",
        "params": {"function": function, "with": {each: f"{{{each}}}" for each in parameters}},
    }


# ---- functions to be stages ------------------------------------------------------------------------------


def load(item, index, region): ...
def unload(item, outcome, loaded): ...
def is_loaded(index, loaded): ...
def write(loaded, approval, report): ...
def put_back(idempotency_key): ...
def charge(): ...
def tell(): ...
def make(): ...
def each(item, index=0): ...
def one(item): ...
def seek(file, approval, day, size=3): ...


def test_functions_say_all_that_a_file_can() -> None:
    """Items, dependencies of both kinds, restored places, ways back: one model and version from both forms."""
    loads = stage(
        outputs=["loaded"], for_each="{files}", max_parallel=4, delay={"first": "1 minute", "growth": 2}
    )(load)
    loads.rollback(unload)
    loads.validate(is_loaded)
    writes = stage(
        dependencies={
            "report": {"bucket": "lines", "prefix": [{"match": "in"}, {"match": r"r\d$", "type": "regex"}]},
            "approval": {"kind": "input", "schema": {"type": "boolean"}, "deadline": "2 hours"},
        },
        delay="1 minute",
    )(write)
    writes.rollback(
        to=loads,
        attempts=3,
        restore=["lines/out/{region}"],
        on_failure="continue",
        retry=2,
        timeout="1 minute",
    )(put_back)
    charges = stage(rollback="impossible", after=[writes])(charge)
    tells = stage(rollback={"command": "none", "to": charges}, after=["charge"])(tell)
    from_python = program(loads, writes, charges, tells, variables={"region": "east"})
    assert from_python == read(
        {
            "name": "p",
            "variables": {"region": "east"},
            "requests": {"files": {}},
            "stages": {
                "load": {
                    "execute": called("load", "item", "index", "region"),
                    "inputs": ["region"],
                    "outputs": ["loaded"],
                    "for_each": "{files}",
                    "max_parallel": 4,
                    "delay": {"first": "1 minute", "growth": 2},
                    "validate": {
                        "condition": "python",
                        "params": called("is_loaded", "index", "loaded")["params"],
                    },
                    "rollback": called("unload", "item", "outcome", "loaded"),
                },
                "write": {
                    "execute": called("write", "loaded", "approval", "report"),
                    "inputs": ["loaded", "approval", "report"],
                    "dependencies": [
                        {
                            "name": "report",
                            "bucket": "lines",
                            "prefix": [{"match": "in"}, {"match": r"r\d$", "type": "regex"}],
                        },
                        {
                            "name": "approval",
                            "kind": "input",
                            "schema": {"type": "boolean"},
                            "deadline": "2 hours",
                        },
                    ],
                    "delay": "1 minute",
                    "rollback": {
                        **called("put_back", "idempotency_key"),
                        "restore": ["lines/out/{region}"],
                        "to": "load",
                        "attempts": 3,
                        "on_failure": "continue",
                        "retry": {"attempts": 2},
                        "timeout": "1 minute",
                    },
                },
                "charge": {"execute": called("charge"), "rollback": "impossible", "after": ["write"]},
                "tell": {
                    "execute": called("tell"),
                    "rollback": {"command": "none", "to": "charge"},
                    "after": ["charge"],
                },
            },
        }
    )


@pytest.mark.parametrize(
    ("said", "rollback"),
    [
        ("none", Rollback("none")),
        ("impossible", Rollback("impossible")),
        ({"to": "charge", "attempts": 2}, Rollback(to="charge", attempts=2)),
        ({"restore": ["b/k"]}, Rollback("commands", restore=("b/k",))),
        (None, Rollback()),
    ],
)
def test_a_stage_without_a_function_for_it_has_a_rollback_too(said: Any, rollback: Rollback) -> None:
    """What a file says of a rollback can be said to `stage` as well."""
    assert program(stage(rollback=said)(charge)).stages[0].rollback == rollback


@pytest.mark.parametrize(
    "said",
    [
        {"command": "delete_file", "params": ["b/k"], "to": "charge"},
        {"commands": [{"command": "delete_file", "params": ["b/k"]}], "to": "charge"},
        [{"command": "delete_file", "params": ["b/k"]}],
    ],
)
def test_a_command_may_undo_what_a_function_did(said: Any) -> None:
    """A stage that is a function may be undone by clew's own commands, whose params are read as a file's are."""
    command = program(stage(rollback=said)(charge)).stages[0].rollback.commands[0]
    assert (command.name, command.params) == ("delete_file", {"location": ["b/k"]})


def test_what_a_dependency_finds_is_asked_of_nobody() -> None:
    """A parameter that the stage's own dependency produces is no variable of the request."""

    made = FunctionProgram(
        "p",
        stages=[
            stage(
                dependencies={
                    "file": {"bucket": "b", "prefix": [{"match": "x"}]},
                    "approval": {"kind": "input"},
                }
            )(seek)
        ],
    ).model
    assert dict(made.requests) == {"day": {}}
    assert dict(made.variables) == {"size": 3}
    assert [type(one) for one in made.stages[0].dependencies] == [Dependency, InputDependency]


def test_what_a_stage_is_done_for_is_asked_of_the_request() -> None:
    """The list that a stage is done for is a required variable, unless something produces it or it is written out."""

    def requests(*stages: StageFunction[..., Any], **more: Any) -> list[str]:
        return list(program(*stages, **more).requests)

    assert requests(stage(for_each="{days}")(each)) == ["days"]
    assert requests(stage(for_each="{days}")(each), stage(outputs=["days"])(make)) == []
    assert requests(stage(for_each="{days}")(each), variables={"days": []}) == []
    assert requests(stage(for_each=("a", {"b": "{run_id}"}))(each)) == []
    assert program(stage(for_each=("a", 1))(each)).stages[0].for_each == ["a", 1]


def test_a_stage_without_items_may_have_a_parameter_of_their_name() -> None:
    """`item` is an input like any other where no stage has items, and a problem where one has."""

    assert list(program(stage()(one)).requests) == ["item"]
    (said,) = problems(stage()(one), stage(for_each=[1])(each))
    assert said == "requests.item: 'item' is a name that clew gives the items of the stage 'each'; rename it"


def test_mistakes_in_what_is_said_as_in_a_file_are_told_at_once() -> None:
    """What decorators are given as in a file is read as a file is: every mistake with its stage and a remedy."""
    charges = stage(rollback={"too": "tell", "restore": []})(charge)
    tells = stage(
        dependencies={"ok": {"kind": "inptu"}},
        delay="5",
        for_each=[object()],
        rollback={"command": "none", "retry": {}},
    )(tell)
    loads = stage(rollback="none", for_each=["x"])(load)
    loads.rollback(unload)
    assert [one.partition(": ")[0] for one in problems(charges, tells, loads)] == [
        "stages.charge.rollback.too",
        "stages.charge.rollback.restore",
        "stages.tell.for_each",
        "stages.tell.dependencies.ok.kind",
        "stages.tell.delay",
        "stages.tell.rollback.retry",
        "stages.load.rollback",
    ]
    assert problems(stage(dependencies=["ok"])(charge)) == [  # type: ignore[arg-type]
        "stages.charge.dependencies: this is a mapping by name; write {name: {...}}"
    ]
    assert problems(stage(rollback="nothing")(charge)) == [  # type: ignore[arg-type]
        "stages.charge.rollback: this can't be 'nothing'; write none or impossible"
    ]


def test_mistakes_in_the_rest_are_told_when_the_program_is_read() -> None:
    """What is no mapping of a file is checked by the reader of files, before anything runs."""
    charges = stage(max_parallel=2)(charge)
    charges.rollback(attempts=2, on_failure="stop")(put_back)  # type: ignore[arg-type]
    tells = stage(for_each="{days")(tell)
    assert [one.partition(": ")[0] for one in problems(charges, tells)] == [
        "stages[0].max_parallel",
        "stages[0].rollback.attempts",
        "stages[0].rollback.on_failure",
        "stages[1].for_each",
    ]


def test_the_code_of_a_function_is_here_already() -> None:
    """A function of this process can't be fetched; saying so is a mistake with a remedy."""

    @stage(source="code/jobs")
    def here() -> None: ...

    [problem] = problems(here)
    assert problem.startswith(
        "stages.here.source: the stage is a function of this process, whose code is here"
    )


def test_when_a_program_of_functions_is_due() -> None:
    """Cadence, bounds and changes of clocks are said as in a file, and make the same model; so are mistakes."""
    charged = stage(charge)
    found = program(
        charged,
        timezone="Europe/London",
        cadence=["@hourly", ("0 9 * * *", "* * * 2 *")],
        initial=datetime(2026, 1, 1, 13),
        clock_change={"twice": "both"},
    )
    assert found.cadence == (("@hourly",), ("0 9 * * *", "* * * 2 *"))
    assert found.initial == "2026-01-01 13:00"
    assert found.clock_change.twice == "both"
    with pytest.raises(ProgramError, match=r"cadence\[0\]: '25' is no hour, at character 3"):
        program(charged, cadence=["0 25 * * *"])
