from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from tests.core.program.other_kinds import OTHER_KINDS
from tests.core.program.tables import COMMANDS, CONDITIONS

from clew.core.program.bounds import DEPTH_MAX, INTEGER_MAX, NODE_COUNT_MAX
from clew.core.program.model import (
    HOUR,
    MINUTE,
    SECOND,
    AskedDependency,
    Command,
    Condition,
    CustomTime,
    Delay,
    Dependency,
    Element,
    InputDependency,
    Output,
    Program,
    ProgramDependency,
    Retry,
    Rollback,
    Stage,
    VariableDependency,
)
from clew.core.program.parse import parse
from clew.core.program.problems import Path, Place, ProgramError

SMALL: dict[str, Any] = {"name": "p", "stages": [{"name": "a", "execute": {"command": "note"}}]}


def read(document: Any, **more: Any) -> Program:
    return parse(document, COMMANDS, CONDITIONS, **more)


def problems(document: Any, **more: Any) -> list[str]:
    with pytest.raises(ProgramError) as caught:
        read(document, **more)
    return [str(problem) for problem in caught.value.problems]


def small(**more: Any) -> dict[str, Any]:
    """A program of one stage, with more keys of the program."""
    return {**deepcopy(SMALL), **more}


def staged(**more: Any) -> dict[str, Any]:
    """A program of one stage, with more keys of the stage."""
    document = deepcopy(SMALL)
    document["stages"][0].update(more)
    return document


def like_the_fifth(name: str, **more: Any) -> Stage:
    """A stage of the whole program with what the program says for all its stages."""
    return Stage(
        name=name,
        **{"execute": (Command("note", {}),), **more},
        retry=Retry(attempts=3, delay_milliseconds=10 * MINUTE, maximum_delay_milliseconds=10 * MINUTE),
        timeout_milliseconds=2 * HOUR,
        delay=Delay(MINUTE),
        executor="inline",
        environment={"A": "{region}", "B": "1"},
    )


def test_dependencies_of_every_kind_are_read() -> None:
    """Those that are asked have their params, those of others a time for their answer."""
    (stage,) = read(staged(dependencies=OTHER_KINDS)).stages
    assert stage.dependencies == (
        VariableDependency("total", "{program_name}", "sum", True, None),
        VariableDependency("other", "q", "sum"),
        ProgramDependency("loads", "loads"),
        ProgramDependency("before", "p", -24 * HOUR),
        AskedDependency("room", "resource", {"cores": 2, "memory": "{other.memory}"}),
        AskedDependency("ledger", "infrastructure", {"host": "{other.host}", "port": 5432}),
        AskedDependency("market", "market", {"code": ["{other}"]}, 5 * SECOND),
        AskedDependency("own", "lib.checks:is_open", {}, 30 * SECOND),
    )
    assert stage.searched_dependencies == stage.dependencies


def test_a_kind_that_nobody_brings_is_told_by_who_can_look() -> None:
    """A function of the project's own is not looked for: its module is loaded by nobody but its own process."""
    document = staged(dependencies=OTHER_KINDS)
    assert read(document, known_kind=lambda name: name == "market") == read(document)
    (said,) = problems(document, known_kind=lambda name: False)
    assert said.startswith("stages[0].dependencies.market.kind: there is no kind 'market'; it is a file (")


def test_a_program_is_read_whole() -> None:
    """Every key of a program file finds its place in the model."""
    program = read(
        {
            "name": "line-sources",
            "timezone": "America/New_York",
            "custom_times": {"since": ["run", "-3 days"], "cutoff": ["now", "7 hours"]},
            "maintain_sequence": True,
            "variables": {"region": "east", "tool": "write_note"},
            "requests": {"day": {"type": "string"}, "tool": {"enum": ["note", "write_note"]}},
            "retry": {"attempts": 3, "delay": "10 minutes"},
            "timeout": "2 hours",
            "delay": "1 minute",
            "executor": "inline",
            "environment": {"A": "{region}", "B": "1"},
            "validate": {"condition": "holds", "params": ["total > 0"], "maximum_time": "1 minute"},
            "stages": {
                "Collect (EU)": {
                    "dependencies": {
                        "file": {
                            "bucket": "lines",
                            "prefix": [
                                {"match": "tx"},
                                {"match": r"b_(?P<batch>\d{2})$", "type": "regex", "multiple": "max"},
                            ],
                        }
                    },
                    "inputs": ["day"],
                    "outputs": {"total": {"from": "stdout"}, "rest": {"default": None}},
                    "when": "region == 'east'",
                    "execute": [
                        {"command": "write_note", "params": ["{file.batch}"]},
                        {"command": "publish", "params": ["to", "x", "{day}"]},
                        {"command": "{tool}", "params": ["x"]},
                        {"command": "plug", "params": ["any", 1]},
                    ],
                    "validate": [
                        {
                            "condition": "matches",
                            "params": ["{total}", r"\d{2}"],
                            "interval": "2 seconds",
                            "reexecute": True,
                        }
                    ],
                    "rollback": {
                        "command": "note",
                        "params": {"text": "{outcome}"},
                        "retry": {"attempts": 2},
                        "timeout": "1 minute",
                    },
                },
                "Second": {
                    "after": ["Collect (EU)"],
                    "outputs": ["x", {"name": "y", "default": 0}],
                    "execute": {"command": "wait", "params": ["5 seconds"]},
                    "retry": {"delay": "1 second", "on": "exit", "growth": 1.5, "jitter": False},
                    "timeout": "1 minute",
                    "delay": {"first": "1 second", "growth": 2, "maximum": "1 minute"},
                    "executor": "local",
                    "environment": {"B": "2"},
                },
                "Third": {
                    "execute": {"command": "note"},
                    "rollback": [{"command": "note"}, {"command": "note", "params": ["x"]}],
                    "retry": {"on": ["exit", "timed_out"], "maximum_delay": "1 hour"},
                },
                "Fourth": {
                    "execute": {"command": "note"},
                    "rollback": {"commands": [{"command": "note"}]},
                },
                "Fifth": {"execute": {"command": "note"}, "rollback": "none"},
                "Sixth": {
                    "execute": {"command": "note", "params": ["{item.key}"]},
                    "dependencies": {
                        "approval": {"kind": "input", "schema": {"type": "boolean"}, "deadline": "2 hours"},
                        "remark": {"kind": "input"},
                    },
                    "for_each": ["{approval}", 1],
                    "max_parallel": 4,
                    "rollback": {
                        "restore": ["b/{item.key}", "file:/f/x"],
                        "to": "Third",
                        "attempts": 2,
                        "on_failure": "continue",
                    },
                },
                "Seventh": {"execute": {"command": "note"}, "rollback": "impossible", "for_each": "{day}"},
                "Eighth": {"execute": {"command": "note"}, "rollback": {"command": "none", "to": "Fifth"}},
                "Ninth": {"execute": {"command": "note"}, "rollback": {"to": "Fifth"}},
            },
        }
    )
    assert program == Program(
        name="line-sources",
        timezone="America/New_York",
        custom_times=(CustomTime("cutoff", "now", 7 * HOUR), CustomTime("since", "run", -72 * HOUR)),
        maintain_sequence=True,
        variables={"region": "east", "tool": "write_note"},
        requests={"day": {"type": "string"}, "tool": {"enum": ["note", "write_note"]}},
        validate=(Condition("holds", {"expression": "total > 0"}, MINUTE),),
        stages=(
            Stage(
                name="Collect (EU)",
                dependencies=(
                    Dependency(
                        "file", "lines", (Element("tx"), Element(r"b_(?P<batch>\d{2})$", "regex", "max"))
                    ),
                ),
                inputs=("day",),
                outputs=(Output("total", "stdout"), Output("rest", None, True, None)),
                when="region == 'east'",
                execute=(
                    Command("note", {"text": "{file.batch}"}),
                    Command("publish", {"location": "to", "lines": ["x", "{day}"]}),
                    Command("{tool}", ["x"]),
                    Command("plug", ["any", 1]),
                ),
                validate=(
                    Condition("matches", {"value": "{total}", "pattern": r"\d{2}"}, None, 2 * SECOND, True),
                ),
                rollback=Rollback(
                    "commands",
                    (Command("note", {"text": "{outcome}"}),),
                    retry=Retry(attempts=2),
                    timeout_milliseconds=MINUTE,
                ),
                retry=Retry(
                    attempts=3, delay_milliseconds=10 * MINUTE, maximum_delay_milliseconds=10 * MINUTE
                ),
                timeout_milliseconds=2 * HOUR,
                delay=Delay(MINUTE),
                executor="inline",
                environment={"A": "{region}", "B": "1"},
            ),
            Stage(
                name="Second",
                after=("Collect (EU)",),
                outputs=(Output("x"), Output("y", None, True, 0)),
                execute=(Command("wait", {"duration": "5 seconds"}),),
                rollback=Rollback("none"),
                retry=Retry(3, SECOND, 1.5, 5 * MINUTE, False, ("exit",)),
                timeout_milliseconds=MINUTE,
                delay=Delay(SECOND, 2, MINUTE),
                environment={"A": "{region}", "B": "2"},
            ),
            Stage(
                name="Third",
                execute=(Command("note", {}),),
                rollback=Rollback("commands", (Command("note", {}), Command("note", {"text": "x"}))),
                retry=Retry(3, 10 * MINUTE, 2, HOUR, True, ("exit", "timed_out")),
                timeout_milliseconds=2 * HOUR,
                delay=Delay(MINUTE),
                executor="inline",
                environment={"A": "{region}", "B": "1"},
            ),
            Stage(
                name="Fourth",
                execute=(Command("note", {}),),
                rollback=Rollback("commands", (Command("note", {}),)),
                retry=Retry(
                    attempts=3, delay_milliseconds=10 * MINUTE, maximum_delay_milliseconds=10 * MINUTE
                ),
                timeout_milliseconds=2 * HOUR,
                delay=Delay(MINUTE),
                executor="inline",
                environment={"A": "{region}", "B": "1"},
            ),
            Stage(
                name="Fifth",
                execute=(Command("note", {}),),
                rollback=Rollback("none"),
                retry=Retry(
                    attempts=3, delay_milliseconds=10 * MINUTE, maximum_delay_milliseconds=10 * MINUTE
                ),
                timeout_milliseconds=2 * HOUR,
                delay=Delay(MINUTE),
                executor="inline",
                environment={"A": "{region}", "B": "1"},
            ),
            like_the_fifth(
                "Sixth",
                execute=(Command("note", {"text": "{item.key}"}),),
                dependencies=(
                    InputDependency("approval", {"type": "boolean"}, 2 * HOUR),
                    InputDependency("remark"),
                ),
                for_each=["{approval}", 1],
                max_parallel=4,
                rollback=Rollback(
                    "commands",
                    restore=("b/{item.key}", "file:/f/x"),
                    to="Third",
                    attempts=2,
                    on_failure="continue",
                ),
            ),
            like_the_fifth("Seventh", rollback=Rollback("impossible"), for_each="{day}"),
            like_the_fifth("Eighth", rollback=Rollback("none", to="Fifth")),
            like_the_fifth("Ninth", rollback=Rollback(to="Fifth")),
        ),
    )


def test_what_is_not_said_has_the_documented_defaults() -> None:
    """A program that says the least gets the documented defaults."""
    assert read(SMALL) == Program("p", (Stage("a", (Command("note", {}),)),))


FILE = {"bucket": "b", "prefix": [{"match": "x"}]}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        # the document as a whole
        (None, "program: this is a mapping, not nothing (null); its keys are name, stages"),
        ([], "program: this is a mapping, not a list"),
        ("x" * 100, "program: this is a mapping, not 'xxx"),
        ({"stages": SMALL["stages"]}, "program: the key 'name' is missing; the program's name"),
        ({"name": "p"}, "program: the key 'stages' is missing"),
        (small(stages=[]), "stages: a program needs at least one stage"),
        (small(stages="x"), "stages: this is a list or a mapping, not 'x'"),
        (small(stages=["x"]), "stages[0]: this is a mapping, not 'x'; write name: ..."),
        (
            small(stages=[{"execute": {"command": "note"}}]),
            "stages[0]: the key 'name' is missing; the stage's name",
        ),
        (
            small(stages=[{"name": 1, "execute": {"command": "note"}}]),
            "stages[0].name: this is a text, not 1",
        ),
        (small(stages={"a": None}), "stages.a: this is a mapping, not nothing (null); its keys are execute"),
        (small(nam="x"), "nam: there is no key 'nam' here; did you mean 'name'?"),
        (small(qqqq="x"), "qqqq: there is no key 'qqqq' here; there are name, stages, timezone"),
        (small(notify=[]), "notify: 'notify' is not available in this version of clew; leave it out"),
        (small(name=7), 'name: this is a text, not 7; write "7" in quotes'),
        (small(name="a/b"), "name: 'a/b' can't be used here; a name begins with"),
        (small(name="a."), "name: 'a.' can't be used here"),
        (small(name="x" * 101), "can't be used here"),
        (small(name="a\u202eb"), "can't be used here"),
        (small(timezone="no zone"), "timezone: 'no zone' can't be used here; write a name of"),
        (small(maintain_sequence="yes"), "maintain_sequence: this is true or false, not 'yes'"),
        (small(variables=[]), "variables: this is a mapping, not a list; write it as name: value"),
        (small(variables={"1a": 1}), "variables.1a: '1a' can't be used here; a variable's name begins with"),
        (small(variables={"run_id": 1}), "variables.run_id: 'run_id' is a name that clew gives itself"),
        (small(requests={"x": "string"}), "requests.x: this is a JSON Schema, not 'string'"),
        (
            small(custom_times={"t": "now"}),
            "custom_times.t: this is a list of two, not 'now'; [now, 7 hours]",
        ),
        (small(custom_times={"t": ["now"]}), "custom_times.t: this is a list of two, not a list"),
        (
            small(custom_times={"t": ["then", "1 s"]}),
            "custom_times.t[0]: this can't be 'then'; write now or run",
        ),
        (
            small(custom_times={"t": ["run", 5]}),
            "custom_times.t[1]: 5 has no unit; write for example '5 seconds'",
        ),
        (
            small(custom_times={"x": ["run", "1 s"]}, variables={"x": 1}),
            "custom_times.x: 'x' has two producers",
        ),
        # a stage's keys
        (staged(name="a b "), "stages[0].name: 'a b ' can't be used here"),
        (staged(name="../x"), "stages[0].name: '../x' can't be used here"),
        (staged(exec={}), "stages[0].exec: there is no key 'exec' here"),
        (staged(pool="x"), "stages[0].pool: 'pool' is not available in this version of clew"),
        (staged(for_each=3), "stages[0].for_each: this is a text, not 3"),
        (staged(for_each={}), "stages[0].for_each: this is a text, not a mapping"),
        (staged(for_each=[0] * 10_001), "for_each: a list of 10001 items; at most 10000 are allowed"),
        (staged(for_each=["x", ["{zz}"]]), "stages[0].for_each[1][0]: nothing produces 'zz'"),
        (small(variables={"x": []}, stages={"a": {"for_each": "x"}}), "for_each: 'x' is no list; write {x}"),
        (staged(for_each="{run_id}s"), "'{run_id}s' is no list; write a single {reference}, or a list"),
        (staged(for_each="{run_time:%Y}"), "'{run_time:%Y}' is no list; write a single {reference}"),
        (staged(for_each="{"), "stages[0].for_each: the brace"),
        (staged(for_each=[], max_parallel=0), "max_parallel: 0 is out of bounds; write 1 to 10000"),
        (
            staged(max_parallel=2),
            "stages[0].max_parallel: 'max_parallel' goes with 'for_each', which is not here; give",
        ),
        (
            staged(executor="ray"),
            "stages[0].executor: 'ray' is not available in this version of clew; there is local",
        ),
        (staged(executor="locl"), "stages[0].executor: this can't be 'locl'; did you mean 'local'?"),
        (staged(executor=3), "stages[0].executor: this can't be 3; write local or inline"),
        (staged(timeout=60), "stages[0].timeout: 60 has no unit; write for example '60 seconds'"),
        (staged(timeout="0 seconds"), "stages[0].timeout: '0 seconds' is too short; at least PT0.001S"),
        (staged(timeout="-5 minutes"), "stages[0].timeout: '-5 minutes' is too short"),
        (staged(retry=3), "stages[0].retry: this is a mapping, not 3"),
        (staged(retry={"attempts": 0}), "stages[0].retry.attempts: 0 is out of bounds; write 1 to 1000"),
        (staged(retry={"attempts": "3"}), "stages[0].retry.attempts: this is a whole number, not '3'"),
        (staged(retry={"attempts": True}), "stages[0].retry.attempts: this is a whole number, not true"),
        (staged(retry={"growth": 0.5}), "stages[0].retry.growth: 0.5 is out of bounds; write 1 to 1000"),
        (staged(retry={"growth": "x"}), "stages[0].retry.growth: this is a number, not 'x'"),
        (staged(retry={"on": []}), "stages[0].retry.on: this list is empty; at least 1 is needed"),
        (staged(retry={"on": 3}), "stages[0].retry.on: this is a text, not 3"),
        (staged(delay=5), "stages[0].delay: 5 has no unit"),
        (staged(delay={"most": 1}), "stages[0].delay.most: there is no key 'most' here"),
        (staged(environment={"A": 1}), 'stages[0].environment.A: this is a text, not 1; write "1" in quotes'),
        (staged(environment={"A=B": "x"}), "stages[0].environment.A=B: 'A=B' can't be used here"),
        (
            staged(environment={"CLEW_OUTPUT": "x"}),
            "stages[0].environment.CLEW_OUTPUT: 'CLEW_OUTPUT' can't be used",
        ),
        (small(environment={"A": "{zz}"}), "environment.A: nothing produces 'zz'"),
        (staged(when=True), 'stages[0].when: this is a text, not true; write "true" in quotes'),
        (staged(when={}), "stages[0].when: this is a text, not a mapping"),
        (staged(when="a >"), "stages[0].when: 'a >' is no expression"),
        (staged(inputs="x"), "stages[0].inputs: this is a list, not 'x'; write it as [...]"),
        (staged(inputs=[1]), "stages[0].inputs[0]: this is a text, not 1"),
        (staged(inputs=[1, "zz"]), "stages[0].inputs[1]: nothing produces 'zz'"),
        (staged(after=["b"]), "stages[0].after[0]: there is no stage 'b'"),
        (staged(outputs=["a b"]), "stages[0].outputs[0]: 'a b' can't be used here"),
        (staged(outputs=[3]), "stages[0].outputs[0]: this is a mapping, not 3"),
        (
            staged(outputs={"x": {"form": 1}}),
            "stages[0].outputs.x.form: there is no key 'form' here; did you mean 'from'",
        ),
        # what conditions ask of the world
        (
            staged(validate={"condition": "infrastructure", "params": {"url": "x"}}),
            "stages[0].validate.params.url: 'x' is no address; it begins with http:// or https://",
        ),
        (
            staged(validate={"condition": "infrastructure", "params": {"url": "http://x", "ray": "y"}}),
            "stages[0].validate.params.ray: 'ray' is not available in this version of clew; 'infrastructure' ta",
        ),
        # dependencies
        (
            staged(dependencies={"f": {**FILE, "prefix": [{"match": "a/"}], "stable_for": "5 s"}}),
            "dependencies.f.stable_for: a folder does not show whether what lies in it is still being written",
        ),
        (staged(dependencies={"f": {**FILE, "stable_for": "0 s"}}), "f.stable_for: '0 s' is too short"),
        (staged(dependencies={"f": {"kind": "inptu"}}), "there is no kind 'inptu'; did you mean 'input'?"),
        (
            staged(dependencies={"f": {"kind": "market", "timeout": "0 s"}}),
            "dependencies.f.timeout: '0 s' is too short",
        ),
        (
            staged(dependencies={"f": {"kind": "market", "code": "XETR"}}),
            "dependencies.f.kind: there is no kind 'market' that takes code; one that is not built in takes kind, pa",
        ),
        (staged(dependencies={"f": {"kind": "a:b c"}}), "f.kind: 'a:b c' can't be used here; it is a file ("),
        (staged(dependencies={"f": {"kind": "variable", "program": "p"}}), "f: the key 'output' is missing"),
        (
            staged(
                dependencies={"f": {"kind": "variable", "program": "{q}", "output": "{r}", "default": "{s}"}}
            ),
            "dependencies.f.default: nothing produces 's'",
        ),
        (
            staged(dependencies={"f": {"kind": "program"}}),
            "f: the key 'program' is missing; the program's na",
        ),
        (
            staged(dependencies={"f": {"kind": "program", "program": "q", "offset": 1}}),
            "dependencies.f.offset: 1 has no unit",
        ),
        (
            staged(dependencies={"f": {"kind": "resource"}}),
            "dependencies.f: nothing is asked for; give one of",
        ),
        (
            staged(dependencies={"f": {"kind": "resource", "cores": 0}}),
            "dependencies.f.cores: 0 is no number of cores",
        ),
        (
            staged(dependencies={"f": {"kind": "infrastructure", "host": "h"}}),
            "dependencies.f: host and port go together; give both, or a url",
        ),
        (
            staged(dependencies={"f": {"kind": "infrastructure", "emr": "j-1"}}),
            "dependencies.f.emr: 'emr' is not available in this version of clew",
        ),
        (staged(dependencies={"f": {"kind": []}}), "dependencies.f.kind: there is no kind a list; it is a"),
        (
            staged(dependencies={"f": {"kind": "input", "bucket": "b"}}),
            "dependencies.f.bucket: there is no key 'bucket' here; there are kind, schema, deadline",
        ),
        (
            staged(dependencies={"f": {"kind": "input", "schema": 3}}),
            "f.schema: this is a JSON Schema, not 3",
        ),
        (
            staged(dependencies=[{"name": "f", "kind": "input", "deadline": "0 s"}]),
            "dependencies[0].deadline: '0 s' is too short",
        ),
        (
            staged(dependencies={"f": {"bucket": "b"}}),
            "stages[0].dependencies.f: the key 'prefix' is missing",
        ),
        (
            staged(dependencies={"f": {"bucket": "b", "prefix": []}}),
            "prefix: this list is empty; at least 1 is needed",
        ),
        (
            staged(dependencies={"f": {"bucket": "b", "prefix": "x"}}),
            "dependencies.f.prefix: this is a list, not 'x'",
        ),
        (
            staged(dependencies={"f": {"bucket": "b", "prefix": [{"type": "regex"}]}}),
            "stages[0].dependencies.f.prefix[0]: the key 'match' is missing; what it must be",
        ),
        (
            staged(dependencies={"f": {"bucket": "b", "prefix": [{"match": "(", "type": "regex"}]}}),
            "stages[0].dependencies.f.prefix[0]: this element",
        ),
        (
            staged(dependencies={"f": {"bucket": "b", "prefix": [{"match": "x"}, {"match": "{zz}"}]}}),
            "stages[0].dependencies.f.prefix[1].match: nothing produces 'zz'",
        ),
        (
            staged(
                dependencies=[
                    {"name": "f", **FILE},
                    {"name": "g", "bucket": "{zz}", "prefix": FILE["prefix"]},
                ]
            ),
            "stages[0].dependencies[1].bucket: nothing produces 'zz'",
        ),
        # commands
        (staged(execute=[]), "stages[0].execute: this list is empty; at least 1 is needed"),
        (
            staged(execute="note"),
            "stages[0].execute: this is a mapping, not 'note'; its keys are command, params",
        ),
        (
            staged(execute={"params": []}),
            "stages[0].execute: the key 'command' is missing; the command's name",
        ),
        (staged(execute={"command": 1}), "stages[0].execute.command: this is a text, not 1"),
        (
            staged(execute={"command": "nte"}),
            "stages[0].execute.command: there is no command 'nte'; did you mean 'note'?",
        ),
        (staged(execute={"command": "qqq"}), "there is no command 'qqq'; there are copy, note, plug"),
        (
            staged(execute=[{"command": "note"}, {"command": "nte"}]),
            "stages[0].execute[1].command: there is no command",
        ),
        (staged(execute={"command": "{x"}), "stages[0].execute.command: the brace"),
        (staged(execute={"command": "{zz}"}), "stages[0].execute.command: {zz} may not name a command"),
        (
            {**staged(execute={"command": "{x}", "params": {"txt": 1}}), "variables": {"x": "note"}},
            "stages[0].execute.params.txt: 'note' has no param 'txt'; did you mean 'text'?",
        ),
        (
            {**staged(execute={"command": "{x}"}), "variables": {"x": "nte"}},
            "stages[0].execute.command: there is no command 'nte'",
        ),
        (
            staged(execute={"command": "copy", "params": {"from": "x"}}),
            "stages[0].execute.params: 'copy' needs the param 'to'",
        ),
        (staged(execute={"command": "copy"}), "stages[0].execute.params: 'copy' needs the param 'from'"),
        (
            staged(execute={"command": "copy", "params": ["x", "y", "z"]}),
            "stages[0].execute.params[2]: 'copy' takes 2 params in a list, here are 3; they stand for",
        ),
        (
            staged(execute={"command": "query", "params": ["x"]}),
            "stages[0].execute.params: 'query' takes its params by name; 'query' takes statement",
        ),
        (
            staged(execute={"command": "note", "params": "x"}),
            "stages[0].execute.params: params are a list or a mapping, not 'x'; 'note' takes text",
        ),
        (staged(execute={"command": "note", "params": 7}), "params are a list or a mapping, not 7"),
        (
            staged(execute={"command": "note", "params": {"zz": 1}}),
            "stages[0].execute.params.zz: 'note' has no param 'zz'; 'note' takes text",
        ),
        (
            staged(execute={"command": "publish", "params": ["x", "y", ["{zz}"]]}),
            "stages[0].execute.params[2][0]: nothing produces 'zz'",
        ),
        (
            staged(execute={"command": "query", "params": {"statement": "select '{run_id}'"}}),
            "stages[0].execute.params.statement: {run_id} stands within quotes",
        ),
        (
            staged(execute={"command": "shell", "params": {"command": "echo '{run_id}'", "shell": True}}),
            "stages[0].execute.params.command: {run_id} stands within single quotes",
        ),
        (
            staged(execute={"command": "python", "params": ["trip.reserve"]}),
            "stages[0].execute.params[0]: 'trip.reserve' names no function; write module:function",
        ),
        # conditions
        (staged(validate="holds"), "stages[0].validate: this is a mapping, not 'holds'"),
        (staged(validate={"params": []}), "stages[0].validate: the key 'condition' is missing"),
        (
            staged(validate={"condition": "hold"}),
            "validate.condition: there is no condition 'hold'; did you mean 'holds'?",
        ),
        (
            staged(validate=[{"condition": "holds", "params": ["zz"]}]),
            "stages[0].validate[0].params[0]: nothing produces 'zz'",
        ),
        (
            staged(
                validate={"condition": "file_exists", "params": {"bucket": "b", "prefix": [{"mach": "x"}]}}
            ),
            "stages[0].validate.params.prefix[0].mach: there is no key 'mach' here; did you mean 'match'?",
        ),
        (
            staged(
                validate={
                    "condition": "file_exists",
                    "params": {"bucket": "b", "prefix": [{"match": "(", "type": "regex"}]},
                }
            ),
            "stages[0].validate.params.prefix[0]: this element",
        ),
        (
            staged(validate={"condition": "file_exists", "params": {"bucket": "b", "prefix": "x"}}),
            "stages[0].validate.params.prefix: this is a list, not 'x'",
        ),
        (
            staged(validate={"condition": "file_exists", "params": {"bucket": "b"}}),
            "'file_exists' needs the param 'prefix'",
        ),
        (
            small(validate=[{"condition": "holds", "params": ["true"], "reexecute": True}]),
            "validate[0].reexecute: a condition over several stages has no attempt to execute again",
        ),
        (
            small(validate={"condition": "holds", "params": ["zz"]}),
            "validate.params[0]: nothing produces 'zz'",
        ),
        # rollbacks
        (staged(rollback="imposible"), "rollback: this can't be 'imposible'; did you mean 'impossible'?"),
        (staged(rollback="nothing"), "stages[0].rollback: this can't be 'nothing'"),
        (staged(rollback=None), "stages[0].rollback: this can't be nothing (null); write none"),
        (
            staged(rollback={"retry": {}}),
            "stages[0].rollback: the key 'command' is missing; give one of command, commands, restore and to",
        ),
        (staged(rollback={"command": "note", "to": "b"}), "stages[0].rollback.to: there is no stage 'b'"),
        (staged(rollback={"to": 3}), "stages[0].rollback.to: this is a text, not 3"),
        (staged(rollback={"to": "a", "attempts": 0}), "rollback.attempts: 0 is out of bounds; write 1 to"),
        (
            staged(rollback={"command": "note", "attempts": 2}),
            "stages[0].rollback.attempts: 'attempts' goes with 'to', which is not here; give to too, or",
        ),
        (
            staged(rollback={"command": "note", "on_failure": "stop"}),
            "rollback.on_failure: this can't be 'stop'; write hold or continue",
        ),
        (
            staged(rollback={"to": "a", "params": []}),
            "rollback.params: 'params' goes with 'command', which is",
        ),
        (
            staged(rollback={"command": "none", "params": [], "to": "a"}),
            "rollback.params: there is no command to take them; name it in command, or leave out params",
        ),
        (
            staged(rollback={"to": "a", "on_failure": "hold"}),
            "rollback.on_failure: nothing is undone here, so 'on_failure' has no meaning; leave it out",
        ),
        (staged(rollback={"command": "none", "retry": {}}), "rollback.retry: nothing is undone here, so"),
        (
            staged(rollback={"command": "none", "restore": ["b/k"]}),
            "rollback.restore: a stage that leaves nothing to undo has nothing to put back; leave out",
        ),
        (staged(rollback={"restore": []}), "rollback.restore: this list is empty; at least 1 is needed"),
        (staged(rollback={"restore": ["b/k"] * 101}), "rollback.restore: a list of 101 items; at most 100"),
        (staged(rollback={"restore": ["k"]}), "rollback.restore[0]: 'k' is no location; write `bucket/key`"),
        (
            staged(rollback={"restore": ["b/k/"]}),
            "rollback.restore[0]: 'b/k/' is a folder, and objects alone",
        ),
        (staged(rollback={"restore": ["b/{zz}"]}), "rollback.restore[0]: nothing produces 'zz'"),
        (staged(rollback=[{"command": "none"}]), "rollback[0].command: there is no command 'none'"),
        (
            staged(rollback={"command": "note", "commands": [{"command": "note"}]}),
            "stages[0].rollback: both command and commands are given",
        ),
        (staged(rollback={"command": "nte"}), "stages[0].rollback.command: there is no command 'nte'"),
        (
            staged(rollback={"command": "note", "params": ["{zz}"]}),
            "stages[0].rollback.params[0]: nothing produces 'zz'",
        ),
        (
            staged(rollback=[{"command": "note"}, {"command": "note", "params": ["{zz}"]}]),
            "stages[0].rollback[1].params[0]: nothing produces 'zz'",
        ),
        (
            staged(rollback={"commands": [{"command": "note", "params": ["{zz}"]}]}),
            "stages[0].rollback.commands[0].params[0]: nothing produces 'zz'",
        ),
    ],
)
def test_a_mistake_is_told_with_its_path_and_its_remedy(document: Any, said: str) -> None:
    """A mistake in a document is told with its path, what is wrong and what would be right."""
    found = problems(document)
    assert any(said in problem for problem in found), found


def test_every_mistake_is_told_at_once_and_only_once() -> None:
    """A document with many mistakes gives each of them, and none that only follows from another."""
    document = {
        "name": "a/b",
        "notify": "1 hour",
        "varables": {"region": "east"},
        "stages": [
            {"name": "a", "execute": {"command": "nte"}, "outputs": ["x"], "timeout": 5},
            {"name": "b", "execute": {"command": "note", "params": ["{x}{region}"]}, "output": ["y"]},
            {"name": "c", "execute": {"command": "note", "params": ["{y"]}},
        ],
    }
    assert [problem.partition(":")[0] for problem in problems(document)] == [
        "notify",
        "varables",
        "name",
        "stages[0].timeout",
        "stages[1].output",
        "stages[0].execute.command",
        "stages[2].execute.params[0]",
    ]


@pytest.mark.parametrize(
    "hidden",
    [
        {"stages": [{"execute": {"command": "note"}, "outputs": ["x"]}]},
        {"stages": [{"name": "b", "execute": {"command": "note"}, "outputs": 3}]},
        {"stages": [{"name": "b", "execute": {"command": "note"}, "outputs": [3]}]},
        {"stages": [{"name": "b", "execute": {"command": "note"}, "output": ["x"]}]},
        {"stages": [7]},
        {"stages": {"b": 7}},
        {"variables": 3},
        {"variable": {"x": 1}},
    ],
)
def test_a_name_is_not_called_unknown_where_declarations_could_not_be_read(hidden: dict) -> None:
    """Where a part that declares names could not be read, no name is called unknown for it."""
    reader = {"name": "a", "execute": {"command": "note", "params": ["{x}"]}, "after": ["b"]}
    document = {"name": "p", **hidden}
    stages = document.get("stages", [])
    if isinstance(stages, dict):
        document["stages"] = {**stages, "a": {key: reader[key] for key in ("execute", "after")}}
    else:
        document["stages"] = [*stages, reader]
    found = problems(document)
    assert not any("nothing produces" in problem for problem in found), found


def test_a_thing_that_can_t_be_read_keeps_its_name() -> None:
    """An output or dependency that can't be read is still there for others."""
    reader = {"name": "b", "execute": {"command": "note", "params": ["{x}{f}"]}}
    document = staged(outputs={"x": 3}, dependencies={"f": 3})
    document["stages"].append(reader)
    assert [problem.partition(":")[0] for problem in problems(document)] == [
        "stages[0].dependencies.f",
        "stages[0].outputs.x",
    ]


@pytest.mark.parametrize(
    ("rollback", "path"),
    [
        ({"command": 3, "params": [], "retry": {}}, "command"),
        ({"to": 3, "attempts": 2, "timeout": "1 s"}, "to"),
        ({"restore": []}, "restore"),
    ],
)
def test_a_key_that_can_t_be_read_is_not_called_missing(rollback: Any, path: str) -> None:
    """What a rollback says wrongly is told alone, and not what would be missing without it."""
    assert [one.partition(": ")[0] for one in problems(staged(rollback=rollback))] == [
        f"stages[0].rollback.{path}"
    ]


def test_two_stages_of_one_name_are_one_problem() -> None:
    """Two stages of one name are told once, also where one reads what the other makes."""
    document = staged(outputs=["x"])
    document["stages"].append({"name": "a", "execute": {"command": "note", "params": ["{x}"]}})
    assert problems(document) == ["stages[1]: there are two stages 'a'; rename one of them"]


def test_circles_are_told_with_the_author_s_paths() -> None:
    """A circle is told at the path that its author wrote."""
    document = small(
        stages={
            "a": {"execute": {"command": "note"}, "after": ["b"]},
            "b": {"execute": {"command": "note"}, "after": ["a"]},
        }
    )
    (said,) = problems(document)
    assert said.startswith("stages.a: stages wait for each other: 'a' needs the end of 'b'")


def test_a_stage_s_own_environment_is_told_at_its_own_place() -> None:
    """What a stage overrides of the program's environment is the stage's to mend."""
    document = small(environment={"A": "x"})
    document["stages"][0]["environment"] = {"A": "{zz}"}
    assert problems(document)[0].startswith("stages[0].environment.A: ")


def test_params_of_a_command_are_kept_where_no_signature_orders_them() -> None:
    """Params stay as their author wrote them where the signature says nothing about their order."""
    assert read(staged(execute={"command": "plug", "params": {"any": 1}})).stages[0].execute[0].params == {
        "any": 1
    }
    assert read(staged(execute={"command": "publish", "params": ["x"]})).stages[0].execute[0].params == {
        "location": "x"
    }


def test_a_stage_whose_commands_leave_nothing_has_nothing_to_undo() -> None:
    """Only when all commands of a stage leave nothing is its rollback implied."""
    wait = {"command": "wait", "params": ["1 s"]}
    assert read(staged(execute=wait)).stages[0].rollback.kind == "none"
    assert read(staged(execute=[wait, {"command": "note"}])).stages[0].rollback.kind == "undeclared"


def test_time_zones_are_looked_up_by_whoever_can() -> None:
    """A time zone that nobody knows is a problem where it can be looked up."""
    document = small(timezone="Europe/Atlantis")
    assert read(document).timezone == "Europe/Atlantis"
    (said,) = problems(document, known_zone=lambda name: name == "UTC")
    assert said.startswith("timezone: there is no time zone 'Europe/Atlantis'; write a name")


def test_secrets_are_left_alone() -> None:
    """A reference to a secret is a text like any other."""
    stage = read(
        staged(execute={"command": "note", "params": ["secret:TOKEN"]}, environment={"T": "secret:T"})
    ).stages[0]
    assert stage.execute[0].params == {"text": "secret:TOKEN"}
    assert stage.environment == {"T": "secret:T"}


# ---- places ----------------------------------------------------------------------------------------------


def places(known: dict[Path, tuple[int, int]]) -> Callable[[Path], Place | None]:
    return lambda path: Place("p.yaml", *known[path]) if path in known else None


def test_a_problem_has_the_nearest_place_and_problems_the_order_of_the_text() -> None:
    """A problem stands at its own place or the nearest around it, and all in the order of the text."""
    document = small(name="a/b", stages=[{"name": "a", "timeout": 5}], nope=1)
    known = {
        (): (1, 1),
        ("name",): (9, 1),
        ("stages", 0): (2, 3),
        ("stages", 0, "timeout"): (3, 5),
        ("nope",): (4, 1),
    }
    found = problems(document, place_of=places(known))
    assert [problem.partition(": ")[0] for problem in found] == [
        "p.yaml:2:3",
        "p.yaml:3:5",
        "p.yaml:4:1",
        "p.yaml:9:1",
    ]


def test_an_unknown_place_is_no_place() -> None:
    """A problem of which no place is known has none."""
    assert problems(None, place_of=places({})) == [problem for problem in problems(None)]


# ---- bounds ----------------------------------------------------------------------------------------------


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (small(variables={"x": nested(DEPTH_MAX)}), f"this is nested more than {DEPTH_MAX} levels deep"),
        (small(variables={"x": [0] * NODE_COUNT_MAX}), "program: the document has more than"),
        (small(variables={"x": "x" * 5_000_000}), "program: the document has more than"),
        (small(variables={1: 2}), "variables: a key here is no text"),
        (small(variables={"x": INTEGER_MAX + 1}), "variables.x: this number is beyond"),
        (small(variables={"x": -INTEGER_MAX - 1}), "variables.x: this number is beyond"),
        (small(variables={"x": float("nan")}), "variables.x: nan is no number that JSON has"),
        (small(variables={"x": [float("inf")]}), "variables.x[0]: inf is no number"),
        (small(variables={"x": 1e20}), "variables.x: this number is beyond"),
        (small(variables={"x": "a\ud800"}), "variables.x: this text holds half of a character"),
        (small(variables={"x": b"bytes"}), "variables.x: a bytes is no JSON value"),
        (staged(when="x" * 2_000_000), "stages[0].when: a text of 2000000 characters; at most"),
        (small(stages=[{"name": "a"}] * 10_001), "stages: 10001 stages; at most 10000 are allowed"),
    ],
)
def test_a_document_is_bounded_and_holds_what_json_can(document: Any, said: str) -> None:
    """A document beyond a bound, or with a value that JSON can't hold, is refused."""
    assert any(said in problem for problem in problems(document))


def test_letters_beyond_ascii_are_welcome() -> None:
    """Names and values may have letters of any language."""
    program = read(
        {"name": "Prüfung", "stages": {"Quellen prüfen": {"execute": {"command": "note", "params": ["é"]}}}}
    )
    assert program.stage("Quellen prüfen").execute[0].params == {"text": "é"}
    with pytest.raises(KeyError):
        program.stage("other")
