"""Dependencies that are no files, as a person meets them: what a run waits for, why, and how it goes on."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
from contextlib import closing
from typing import Any

import pytest
from tests.surfaces.calling import Person, line_from, line_into, until_said

ADDS = """
name: adds
variables: {more: 5}
stages:
  - name: Add
    dependencies:
      total: {kind: variable, program: "{program_name}", output: sum, default: 100}
    execute: {command: python, params: {function: "adding:add", with: {total: "{total}", more: "{more}"}}}
    outputs: [sum]
    rollback: {command: shell, params: ["true"]}
"""

READS = """
name: reads
delay: 100 ms
stages:
  - name: Read
    dependencies:
      total: {kind: variable, program: adds, output: sum}
    execute: {command: python, params: {function: "adding:add", with: {total: "{total}", more: 0}}}
    outputs: [seen]
    rollback: none
"""

CODE = "def add(total, more): return total + more\n"


def found_in(person: Person, run_id: str) -> Any:
    """The payload of the entry by which the dependencies of a run's stage were found."""
    query = """SELECT p.content FROM payloads p JOIN journal_entries j ON j.run_id = p.run_id AND j.seq = p.seq
               WHERE p.run_id = ? AND j.kind = 'dependencies_found'"""
    with closing(sqlite3.connect(person.folder / ".clew" / "clew.db")) as connection:
        [(content,)] = connection.execute(query, (run_id,))
    return json.loads(content)


def waiting(person: Person, run_id: str, *words: str) -> Any:
    (one,) = person.clew("why", run_id, *words, "--format", "json").document["waiting"]
    return one


def interrupted(process: Any, person: Person) -> str:
    """End a `clew run` that waits; the id of its run."""
    process.send_signal(signal.SIGINT)
    assert person.end(process).code == 130
    return person.clew("runs", "--format", "json").document[0]["run_id"]


# ---- values from run to run ------------------------------------------------------------------------------


def test_a_value_is_carried_over_from_run_to_run(person: Person) -> None:
    """The first run has the default, each other what the last completed one left; a run that was rolled back has left
    nothing. The journal keeps which run it was."""
    person.write("adding.py", CODE)
    name = person.write("adds.yaml", ADDS)
    first, second = person.run(name), person.run(name, "--var", "more=7")
    assert [run["variables"]["sum"] for run in (first, second)] == [105, 112]
    evidence = found_in(person, first["run_id"])["evidence"]["total"]
    assert evidence["why"] == "no run of 'adds' has completed yet, so it is the default"
    evidence = found_in(person, second["run_id"])["evidence"]["total"]
    assert (evidence["kind"], evidence["run_id"], evidence["stage"]) == ("variable", first["run_id"], "Add")
    person.clew("rollback", second["run_id"], "--yes")
    third = person.run(name, "--var", "more=1")
    assert third["variables"]["sum"] == 106
    person.clew("verify", "--all")


def test_a_value_that_no_run_has_left_is_waited_for(person: Person) -> None:
    """`clew why` says for what; with `--probe` it looks now. A value too large for the store comes from its bucket."""
    person.write("adding.py", CODE)
    reads, adds = person.write("reads.yaml", READS), person.write("adds.yaml", ADDS)
    process = person.begin("run", reads)
    until_said(process, "waiting for data")
    run_id = interrupted(process, person)
    assert waiting(person, run_id)["message"] == "total: no run of 'adds' has completed yet"
    person.run(adds, "--var", "more=1")
    probed = waiting(person, run_id, "--probe")["now"]
    assert probed == {"verdict": "found", "message": ""}
    resumed = person.clew("resume", run_id, "--format", "json").document
    assert resumed["variables"]["seen"] == 101


EACH = """
name: adds
stages:
  - name: Add
    for_each: [1, 2, 3]
    execute: {command: shell, params: [echo, "{item}"]}
    outputs: {sum: {from: stdout}}
    rollback: none
"""


def test_what_the_items_of_a_stage_gave_is_a_list(person: Person) -> None:
    """In their order. A value that is not on record any more is trouble of the store, and not missing."""
    person.write("adding.py", "def add(total, more): return total\n")
    run_id = person.run(person.write("each.yaml", EACH))["run_id"]
    reads = person.write("reads.yaml", READS)
    assert person.run(reads)["variables"]["seen"] == ["1", "2", "3"]
    with closing(sqlite3.connect(person.folder / ".clew" / "clew.db")) as connection, connection:
        connection.execute("DELETE FROM payloads WHERE run_id = ?", (run_id,))
    process = person.begin("run", reads)
    until_said(process, f"the value of 'sum' of run {run_id} is not on record")
    interrupted(process, person)


LARGE = """
name: adds
stages:
  - name: Add
    execute: {command: python, params: ["large:text"]}
    outputs: [sum]
    rollback: none
"""


def test_a_large_value_is_read_from_where_it_is(person: Person) -> None:
    """What was too large for the store stands in the bucket for payloads."""
    person.write("large.py", "def text(): return 'x' * 300_000\n")
    person.write("adding.py", "def add(total, more): return len(total)\n")
    person.run(person.write("large.yaml", LARGE))
    assert person.run(person.write("reads.yaml", READS))["variables"]["seen"] == 300_000


SKIPPED = """
name: adds
variables: {skip: true}
stages:
  - {name: Add, when: "!skip", execute: {command: shell, params: [echo, "3"]}, outputs: {sum: OUTPUT}, rollback: none}
  - {name: Other, execute: {command: shell, params: [echo, "3"]}, outputs: {rest: {from: stdout}}, rollback: none}
"""


def test_an_output_of_a_skipped_stage_is_its_default(person: Person) -> None:
    """One without a default is missing, and so is one that the program did not have."""
    person.write("adding.py", CODE)
    reads = person.write("reads.yaml", READS)
    adds = person.write("adds.yaml", SKIPPED.replace("OUTPUT", "{from: stdout, default: 7}"))
    person.run(adds)
    assert person.run(reads)["variables"]["seen"] == 7
    person.write("adds.yaml", SKIPPED.replace("OUTPUT", "{from: stdout}"))
    last = person.run(adds)
    process = person.begin("run", reads)
    until_said(process, "waiting for data")
    run_id = interrupted(process, person)
    name = next(
        one["run_name"]
        for one in person.clew("runs", "--format", "json").document
        if one["run_id"] == last["run_id"]
    )
    named = f"total: run {name} of 'adds', the last one that completed,"
    assert waiting(person, run_id)["message"] == f"{named} skipped the stage that has 'sum'"


# ---- other programs --------------------------------------------------------------------------------------

LOADS = """
name: loads
stages:
  - name: Load
    execute: {command: shell, params: [sh, -c, "echo begun > FOLDER/begun; cat FOLDER/go_on"]}
    rollback: none
"""

FOLLOWS = """
name: follows
delay: 100 ms
stages:
  - name: Follow
    dependencies:
      loads: {kind: program, program: loads}
    execute: {command: shell, params: [echo, "{loads.run_id}"]}
    outputs: {seen: {from: stdout}}
    rollback: none
"""


def test_a_run_waits_for_another_program_and_goes_on_by_itself(person: Person) -> None:
    """Both are driven by one process; when the latest run of the other has completed the stage that waited begins."""
    begun, go_on = person.fifo("begun"), person.fifo("go_on")
    loads = person.write("loads.yaml", LOADS.replace("FOLDER", str(person.folder)))
    process = person.begin("run", person.write("follows.yaml", FOLLOWS))
    until_said(process, "loads: there is no run of 'loads' yet")
    follows_id = interrupted(process, person)
    process = person.begin("run", loads)
    line_from(begun)
    loads_id = interrupted(process, person)
    driver = person.begin("resume")
    line_from(begun)
    until_said(driver, "the latest run, is running")
    assert "the latest run, is running" in waiting(person, follows_id)["message"]
    line_into(go_on)
    assert person.end(driver).code == 0
    show = person.clew("show", follows_id, "--format", "json").document
    assert show["variables"]["seen"] == loads_id
    evidence = found_in(person, follows_id)["evidence"]["loads"]
    assert (evidence["run_id"], evidence["status"]) == (loads_id, "completed")
    assert show["variables"]["loads"]["run_time"] == evidence["run_time"]
    person.clew("verify", "--all")


# ---- plug-ins --------------------------------------------------------------------------------------------

OPENS = """
name: opens
delay: 100 ms
variables: {day: monday}
stages:
  - name: Trade
    dependencies:
      market: {kind: "markets:is_open", params: {day: "{day}", token: "secret:token"}, timeout: 20 seconds}
    execute: {command: shell, params: [echo, "{market.session}"]}
    outputs: {session: {from: stdout}}
    rollback: none
"""

MARKETS = """
from pathlib import Path
from clew.dependencies import Missing

HERE = Path(__file__).parent

async def is_open(context, params):
    print("noise")
    assert context.run_time.tzinfo and Path(context.folder) == HERE
    mood = (HERE / "mood").read_text()
    if mood == "broken":
        raise OSError(f"refused {params['token']}")
    if mood == "closed":
        return Missing(f"no session on {params['day']}; asked with {params['token']}")
    return {"session": "X-" + params["day"], "token": params["token"]}
"""


def test_a_plug_in_of_the_project_is_asked_until_it_is_there(person: Person) -> None:
    """Missing has its reason, trouble outside is told as such; secrets are filled in for it, and in nothing that it
    says."""
    person.write("markets.py", MARKETS)
    mood, name = person.folder / "mood", person.write("opens.yaml", OPENS)
    person.write("clew.toml", '[secrets]\ntoken = {file = "%s"}\n' % (person.folder / "token"))
    person.write("token", "hush-hush-hush\n")
    assert "market: markets:is_open" in person.clew("plan", name).out
    mood.write_text("closed")
    process = person.begin("run", name)
    until_said(process, "market: no session on monday; asked with [secret token]")
    run_id = interrupted(process, person)
    mood.write_text("broken")
    now = waiting(person, run_id, "--probe")["now"]
    assert now == {"verdict": "error", "message": "'markets:is_open': OSError: refused [secret token]"}
    mood.write_text("open")
    driver = person.begin("resume", run_id, "--format", "json")
    done = person.end(driver)
    assert done.code == 0, done.err
    assert done.document["variables"]["market"] == {"session": "X-monday", "token": "[secret token]"}
    assert done.document["variables"]["session"] == "X-monday"
    kept = [path for path in (person.folder / ".clew").rglob("*") if path.is_file()]
    assert [path.name for path in kept if b"hush-hush" in path.read_bytes()] == []


def test_a_plug_in_that_hangs_is_ended(person: Person) -> None:
    """Its time is up, which is trouble outside and nothing missing; its process is gone."""
    alive = person.fifo("alive")
    person.write(
        "markets.py", f"import signal\ndef is_open(c, p): open({str(alive)!r}, 'w'); signal.pause()\n"
    )
    text = OPENS.replace('token: "secret:token"', "a: 1").replace("20 seconds", "2 seconds")
    process = person.begin("run", person.write("opens.yaml", text))
    with alive.open() as opened:
        until_said(process, "'markets:is_open' did not answer within 2 seconds")
        assert opened.read() == ""  # nobody holds the other end any more
    interrupted(process, person)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_a_plug_in_ends_with_who_asked(person: Person, ending: signal.Signals) -> None:
    """Who is interrupted does not wait for its answer, and who is killed leaves nobody behind that goes on asking."""
    alive = person.fifo("alive")
    code = f"import signal\ndef is_open(c, p):\n  f = open({str(alive)!r}, 'w')\n  f.write('here\\n')\n  f.flush()\n"
    person.write("markets.py", code + "  signal.pause()\n")
    text = OPENS.replace('token: "secret:token"', "a: 1").replace("20 seconds", "1 hour")
    process = person.begin("run", person.write("opens.yaml", text))
    with alive.open() as opened:
        assert opened.readline() == "here\n"
        process.send_signal(ending)
        assert opened.read() == ""
    assert person.end(process).code == {signal.SIGINT: 130, signal.SIGKILL: -signal.SIGKILL}[ending]


def test_a_kind_that_nobody_brings_is_a_problem_of_the_program(person: Person) -> None:
    """Also in a program of Python's; a package brings one by an entry point."""
    text = OPENS.replace("markets:is_open", "trading").replace('token: "secret:token"', "a: 1")
    name = person.write("opens.yaml", text)
    assert (
        "opens.yaml:8:16: stages[0].dependencies.market.kind: there is no kind 'trading'"
        in person.clew("check", name, code=2).out
    )
    info = person.folder / "plugged-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[clew.dependencies]\ntrading = markets:is_open\n")
    person.write("markets.py", "def is_open(context, params): return {'session': params['a']}\n")
    path = {"PYTHONPATH": str(person.folder)}
    done = person.clew("run", name, "--format", "json", environment=path)
    assert done.document["variables"]["session"] == "1"


# ---- this machine, and others ----------------------------------------------------------------------------

NEEDS = """
name: needs
delay: 100 ms
stages:
  - name: Work
    dependencies:
      room: {kind: resource, memory: 1 MB, disk: 1 MB, folder: FOLDER}
      ledger: {kind: infrastructure, host: 127.0.0.1, port: PORT, timeout: 1 second}
    execute: {command: shell, params: [echo, "{ledger.address}"]}
    outputs: {seen: {from: stdout}}
    rollback: none
"""


def test_a_run_waits_for_a_server(person: Person) -> None:
    """Refused is not there yet; once something listens the run goes on by itself."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))  # bound, and not listening: refused
        port = server.getsockname()[1]
        text = NEEDS.replace("PORT", str(port)).replace("FOLDER", str(person.folder))
        process = person.begin("run", person.write("needs.yaml", text), "--format", "json")
        until_said(process, f"ledger: tcp://127.0.0.1:{port}: nothing answers (Connection refused)")
        server.listen()
        done = person.end(process)
    assert done.code == 0, done.err
    assert done.document["variables"]["seen"] == f"tcp://127.0.0.1:{port}"
    evidence = found_in(person, done.document["run_id"])["evidence"]
    assert evidence["room"]["compared"]["wanted"] == {"memory": 1_000_000, "disk": 1_000_000}


def test_the_plan_shows_what_is_waited_for(person: Person) -> None:
    """Each kind in words, with what is known filled in."""
    text = ADDS.replace(
        "dependencies:", "dependencies:\n      loads: {kind: program, program: loads, offset: -1 day}"
    )
    plan = person.clew("plan", person.write("adds.yaml", text)).out
    assert "reads      total: sum of the last completed run of adds, or 100" in plan
    assert "waits for  loads: the run of loads that is -P1D from this one's time" in plan
    assert "'adds' has no cadence: the moment of a request, and what is so far from it, is never due" in plan
    needs = person.clew("plan", person.write("needs.yaml", NEEDS.replace("PORT", "5432"))).out
    assert "waits for  ledger: infrastructure  host: 127.0.0.1, port: 5432, timeout: 1 second" in needs
    document = person.clew("plan", "needs.yaml", "--format", "json").document
    (stage,) = document["blocks"][0]["stages"]
    assert [one["kind"] for one in stage["dependencies"]] == ["resource", "infrastructure"]
