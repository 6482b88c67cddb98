"""`plan`, `check` and `schema` tell all about programs, and run nothing."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema_rs
import pytest
from tests.surfaces.calling import Person

from clew.authoring.files import load_document

EXAMPLES = Path(__file__).parents[2] / "examples"

# Ten mistakes, one for each comment.
TEN_MISTAKES = """\
name: ten
timezone: Mars/Olympus                      # 2
stage_order: strict                         # 3
variables: {region: east}
stages:
  - name: First
    execute: {command: shel, params: [x]}   # 7
    retry: {attempts: none}                 # 8
    outputs: [total]
  - name: Second
    execute: {command: shell, params: [echo, "{totl}"]}   # 11
    timeout: 5 parsecs                      # 12
    rollback: maybe                         # 13
  - name: First                             # 14
    execute: {command: publish_file, params: {locaton: "b/k", content: x}}   # 15
  - name: Third
    execute: {command: shell, params: [echo, "{region"]}  # 17
    validate:
      - {condition: expression, params: {expression: "1 +"}}   # 19
"""
LINES = [2, 3, 7, 8, 11, 12, 13, 14, 15, 17, 19]


def test_every_mistake_at_once(person: Person) -> None:
    """Each mistake on a line of its own with its place, and how many they are; code 2."""
    done = person.clew("check", person.write("ten.yaml", TEN_MISTAKES), code=2)
    problems = done.out.splitlines()
    places = [int(problem.split(":")[1]) for problem in problems]
    assert set(LINES) <= set(places), done.out
    assert len(problems) >= 10
    assert all(problem.startswith("ten.yaml:") for problem in problems)
    assert places == sorted(places)
    assert done.err == f"1 program: {len(problems)} problems\n"
    assert "did you mean 'shell'?" in done.out


def test_problems_as_json(person: Person) -> None:
    """The same as a list, for editors and CI."""
    done = person.clew("check", person.write("ten.yaml", TEN_MISTAKES), "--format", "json", code=2)
    assert set(LINES) <= {problem["line"] for problem in done.document}
    assert set(done.document[0]) == {"file", "line", "column", "path", "what", "hint"}


def test_running_a_program_with_mistakes(person: Person) -> None:
    """`run` and `plan` tell every problem too, and do nothing."""
    name = person.write("ten.yaml", TEN_MISTAKES)
    for verb in ("run", "plan"):
        done = person.clew(verb, name, code=2)
        assert done.out == ""
        assert len(done.err.splitlines()) >= 11
    assert not (person.folder / ".clew").exists()


def test_checking_many(person: Person) -> None:
    """One bad file does not stop the others; the same program twice is a problem."""
    good = "{name: good, stages: [{name: A, execute: {command: wait, params: [1 second]}}]}"
    names = [person.write("a.yaml", good), person.write("b.yaml", "{name: b}"), person.write("c.json", "{]")]
    done = person.clew("check", *names, person.write("d.yaml", good), code=2)
    assert "b.yaml:1:" in done.out
    assert "c.json:1:2" in done.out
    assert "the program 'good' is in a.yaml already" in done.out
    assert person.clew("check", "a.yaml").err == "1 program: no problems\n"


def test_the_examples_have_no_problems(person: Person) -> None:
    files = sorted(str(path) for path in EXAMPLES.rglob("*.yaml"))
    person.clew("check", *files)


# ---- plan ------------------------------------------------------------------------------------------------


def test_the_plan_of_figure_4(person: Person) -> None:
    """Blocks of 2, 1, 3 and 1 stages, with what each needs and what undoes it."""
    plan = person.clew("plan", str(EXAMPLES / "figure4.yaml"), "--format", "json").document
    assert [len(block["stages"]) for block in plan["blocks"]] == [2, 1, 3, 1]
    assert [block["index"] for block in plan["blocks"]] == [1, 2, 3, 4]
    assert plan["blocks"][1]["stages"][0]["needs"] == ["task-411", "task-412"]
    assert [block["index"] for block in plan["undo"]] == [4, 3, 2, 1]
    assert plan["changes"] is None
    assert not (person.folder / ".clew").exists()


FULL = """
name: full
variables: {region: east, table: sales}
requests: {day: {type: string}, table: {}}
stages:
  - name: Load
    execute:
      - {command: shell, params: [load, "{region}/{day}", "{run_id}"]}
      - {command: sql, params: {database: "{table}.db", statement: "DELETE FROM t WHERE day = {day}"}}
    environment: {PASSWORD: "secret:warehouse"}
    outputs: {count: {from: stdout}}
    rollback: {command: shell, params: [unload, "{region}/{day}", "{count}"]}
  - name: Tell
    when: "region == 'east'"
    execute: {command: shell, params: [tell, "{count}"]}
  - name: End
    after: [Tell]
    execute: {command: wait, params: [1 second]}
validate:
  - {condition: expression, params: {expression: "int(count) > 0"}}
"""


def test_a_plan_in_full(person: Person) -> None:
    """Commands with what is known filled in, secrets, what is undone, what stays, warnings."""
    plan = person.clew(
        "plan", person.write("full.yaml", FULL), "--var", "day=monday", "--format", "json"
    ).document
    load = plan["blocks"][0]["stages"][0]
    assert load["execute"] == [
        {"command": "shell", "params": {"command": ["load", "east/monday", "{run_id}"]}},
        {
            "command": "sql",
            "params": {"database": "sales.db", "statement": "DELETE FROM t WHERE day = {day}"},
        },
    ]
    assert load["rollback"] == [
        {"command": "shell", "params": {"command": ["unload", "east/monday", "{count}"]}}
    ]
    tell = plan["blocks"][1]["stages"][0]
    assert (tell["needs"], tell["reads"]) == (["Load"], [{"name": "count", "from": "Load"}])
    assert (tell["rollback"], plan["not_undone"]) == ("undeclared", ["Tell"])
    end = plan["blocks"][2]["stages"][0]
    assert (end["needs"], end["reads"], end["rollback"]) == (["Tell"], [], "none")
    assert plan["secrets"] == ["warehouse"]
    assert plan["requests"]["day"]["required"] is True
    assert plan["requests"]["table"]["required"] is False
    assert plan["blocks"][0]["validate"][0]["params"] == {"expression": "int(count) > 0"}
    whats = " ".join(warning["what"] for warning in plan["warnings"])
    assert "declares no rollback" in whats
    assert "is null where an attempt was cut off" in whats


def test_a_plan_in_words(person: Person) -> None:
    done = person.clew("plan", person.write("full.yaml", FULL))
    for words in (
        "block 1", "needs      count of Load", "needs      the end of Tell", "only when  region == 'east'",
        "undone by  nothing: it declares no rollback", "when it fails, undone in this order: block 1 (Load)",
        "left standing then: what is done by Tell", "a request must give: day", "secrets: warehouse",
        "warning: stages[1]", "it has not run in this store yet", "then valid if  expression",
    ):  # fmt: skip
        assert words in done.out, words
    assert done.err == "next: `clew run full.yaml` runs it\n"


def test_a_plan_as_a_picture(person: Person) -> None:
    """Mermaid: blocks as boxes, arrows with the names that are handed on."""
    picture = person.clew("plan", person.write("full.yaml", FULL), "--format", "mermaid").out
    assert picture.splitlines() == [
        "flowchart LR",
        '  subgraph b1["block 1"]', '    s0["Load"]', "  end",
        '  subgraph b2["block 2"]', '    s1["Tell"]', "  end",
        '  subgraph b3["block 3"]', '    s2["End"]', "  end",
        '  s0 -->|"count"| s1',
        "  s1 --> s2",
    ]  # fmt: skip


BACK = """
name: settle
variables: {region: east, files: [a.csv, b.csv]}
stages:
  - name: Load
    for_each: "{files}"
    max_parallel: 4
    execute: {command: shell, params: [load, "{item}"]}
    outputs: [loaded]
    rollback: {command: shell, params: [unload, "{item}"], on_failure: continue}
  - name: Write
    dependencies:
      approval: {kind: input, schema: {type: boolean}, deadline: 2 hours}
      remark: {kind: input}
    execute: {command: shell, params: [write, "{loaded}"]}
    rollback: {restore: ["lines/out/{region}.csv", "lines/{run_id}"], to: Load, attempts: 3}
  - name: Charge
    after: [Write]
    execute: {command: shell, params: [charge]}
    rollback: impossible
  - name: Wait
    after: [Charge]
    execute: {command: wait, params: [1 second]}
    rollback: {to: Wait}
"""


def test_a_plan_with_ways_back(person: Person) -> None:
    """Items, what is asked for, what is put back, how far back the run goes, and where there is no way back."""
    plan = person.clew("plan", person.write("settle.yaml", BACK), "--format", "json").document
    load, write, charge, wait = (block["stages"][0] for block in plan["blocks"])
    assert (load["for_each"], load["max_parallel"]) == (["a.csv", "b.csv"], 4)
    assert (load["on_failure"], load["back_to"], load["restore"]) == ("continue", None, [])
    assert write["dependencies"] == [
        {
            "name": "approval",
            "kind": "input",
            "schema": {"type": "boolean"},
            "deadline_milliseconds": 7_200_000,
        },
        {"name": "remark", "kind": "input", "schema": None, "deadline_milliseconds": None},
    ]
    assert (write["for_each"], write["max_parallel"]) == (None, None)
    assert (write["rollback"], write["restore"]) == ([], ["lines/out/east.csv", "lines/{run_id}"])
    assert (write["back_to"], write["on_failure"]) == ({"stage": "Load", "attempts": 3}, "hold")
    assert (charge["rollback"], plan["point_of_no_return"]) == ("impossible", ["Charge"])
    assert (wait["rollback"], wait["back_to"]) == ("none", {"stage": "Wait", "attempts": 1})
    assert plan["undo"] == [{"index": 2, "stages": ["Write"]}, {"index": 1, "stages": ["Load"]}]
    assert (plan["not_undone"], plan["warnings"]) == ([], [])


def test_a_plan_with_ways_back_in_words(person: Person) -> None:
    done = person.clew("plan", person.write("settle.yaml", BACK))
    for words in (
        'for each   ["a.csv", "b.csv"], at most 4 at the same time',
        "if that fails, the other rollbacks go on all the same",
        'asks for   approval: {"type": "boolean"}, within 2 h', "asks for   remark\n",
        "puts back  lines/out/east.csv\n", "goes back  to Load when it fails, up to 3 times",
        "undone by  nothing: it can't be undone, and is a point of no return",
        "goes back  to Wait when it fails, once",
        "when it fails, undone in this order: block 2 (Write), then block 1 (Load)",
        "point of no return: Charge; once it has begun, the run goes forward or is held",
    ):  # fmt: skip
        assert words in done.out, words


def test_a_plan_with_ways_back_as_a_picture(person: Person) -> None:
    """Mermaid: stages with items and points of no return say so, and ways back are dotted."""
    picture = person.clew("plan", person.write("settle.yaml", BACK), "--format", "mermaid").out
    assert picture.splitlines()[2::3][:4] == [
        '    s0["Load (for each)"]',
        '    s1["Write"]',
        '    s2{{"Charge (point of no return)"}}',
        '    s3["Wait"]',
    ]
    assert picture.splitlines()[-2:] == ['  s1 -.->|"back"| s0', '  s3 -.->|"back"| s3']


def test_a_place_to_be_put_back_needs_its_bucket(person: Person) -> None:
    """The bucket of a place that is put back is one that the settings must know before anything runs."""
    done = person.clew("run", person.write("settle.yaml", BACK), code=2)
    assert done.err.count("no setting says where the bucket 'lines' is") == 1


BEFORE = """
name: changing
stages:
  - {name: A, execute: {command: shell, params: ["true"]}, rollback: none, timeout: 1 minute}
  - {name: B, execute: {command: shell, params: ["true"]}, rollback: none}
"""
AFTER = """
name: changing
timezone: Europe/Rome
stages:
  - {name: A, execute: {command: shell, params: ["true"]}, rollback: none, timeout: 2 minutes}
  - {name: C, execute: {command: shell, params: ["true"]}, rollback: none}
"""


def test_what_changed(person: Person) -> None:
    """By stage and key, against the version that ran last."""
    run = person.run(person.write("changing.yaml", BEFORE))
    unchanged = person.clew("plan", "changing.yaml", "--format", "json").document
    assert unchanged["changes"] == {"since": run["version"], "changes": []}
    person.write("changing.yaml", AFTER)
    changes = person.clew("plan", "changing.yaml", "--format", "json").document["changes"]["changes"]
    assert [(one["stage"], one["key"], one["change"]) for one in changes] == [
        ("", "timezone", "changed"),
        ("A", "timeout", "changed"),
        ("C", None, "added"),
        ("B", None, "removed"),
    ]
    words = person.clew("plan", "changing.yaml").out
    assert "A: timeout: PT1M -> PT2M" in words
    assert "C: added" in words


# ---- schema ----------------------------------------------------------------------------------------------


def test_the_schema(person: Person) -> None:
    """It is a JSON Schema that takes the examples and refuses what is none."""
    schema = json.loads(person.clew("schema").out)
    for path in EXAMPLES.rglob("*.yaml"):
        document, _ = load_document(path.read_bytes(), path.name)
        jsonschema_rs.validate(schema, document)
    with pytest.raises(jsonschema_rs.ValidationError):
        jsonschema_rs.validate(schema, {"name": "x", "stages": [{"name": "y", "executes": {}}]})
