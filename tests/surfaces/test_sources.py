"""A stage with a `source` runs the code that lay there when its first attempt began, in all that comes after."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.surfaces.calling import Person, line_from

PROGRAM = """
name: p
variables: {lane: v1, place: PLACE}
stages:
  - name: Work
    source: SOURCE
    execute:
      - {command: shell, params: [python3, job.py, "{place}"]}
      - {command: python, params: {function: "lib.more:double", with: {n: 21}}}
    outputs: [answer]
    validate: {condition: python, params: {function: "lib.more:is_right", with: {n: "{answer}"}}}
    rollback: {command: shell, params: [python3, job.py, "{place}", undone]}
    retry: {attempts: 2, delay: 1 second, jitter: false}
  - name: Fail
    after: [Work]
    when: "lane == 'failing'"
    execute: {command: shell, params: ["false"]}
"""

JOB = """
import os, sys
with open(sys.argv[1] + "/done", "a") as done:
    done.write(f"{' '.join(sys.argv[2:]) or 'did'} VERSION\\n")
if os.path.exists(sys.argv[1] + "/strike") and len(sys.argv) < 3:
    STRIKE
"""

MORE = "def double(n): return {'answer': 2 * n}\ndef is_right(n): return n == 42\n"


class Developer(Person):
    """Somebody who puts code into a bucket."""

    def program(self, source: str = "code/{lane}", name: str = "p.yaml") -> str:
        return self.write(name, PROGRAM.replace("SOURCE", source).replace("PLACE", str(self.folder)))

    def put(self, version: str = "1", strike: str = "sys.exit(1)", folder: str = "code/v1") -> None:
        """The code, as that version of it."""
        place = self.folder / folder
        (place / "lib").mkdir(parents=True, exist_ok=True)
        (place / "job.py").write_text(JOB.replace("VERSION", version).replace("STRIKE", strike))
        (place / "lib" / "more.py").write_text(MORE)

    def done(self) -> list[str]:
        path = self.folder / "done"
        return path.read_text().splitlines() if path.exists() else []

    def stage(self, run: Any) -> Any:
        return self.clew("show", run["run_id"], "Work", "--format", "json").document


@pytest.fixture
def developer(tmp_path: Path) -> Developer:
    (tmp_path / "clew.toml").write_text('[buckets]\ncode = "file:code"\n')
    return Developer(tmp_path)


def commit_of(folder: Path) -> str:
    """The code of a folder, committed there: the commit's id."""
    who = {f"GIT_{who}_{what}": "me@host" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    for words in (("init", "--quiet"), ("add", "."), ("commit", "--quiet", "--message", "x")):
        subprocess.run(["git", *words], cwd=folder, env={**os.environ, **who}, check=True)
    said = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True
    )
    return said.stdout.strip()


def test_a_stage_runs_in_its_code(developer: Developer) -> None:
    """Programs are found in it and so are modules, by commands and conditions; its digest is on record."""
    developer.put()
    run = developer.run(developer.program())
    assert (run["status"], run["variables"]["answer"], developer.done()) == ("completed", 42, ["did 1"])
    stage = developer.stage(run)
    digest = stage["code"]["source"]
    [tree] = (developer.folder / ".clew" / "sources" / "trees").iterdir()
    assert tree.name.startswith(f"{digest}-")
    assert developer.clew("verify").code == 0


def test_a_commit_gives_the_same_code(developer: Developer) -> None:
    """From git the digest is that of the same files in a bucket; the person's repository is left as it is."""
    developer.put()
    in_bucket = developer.stage(developer.run(developer.program()))["code"]
    developer.put(folder="repository/jobs")
    commit = commit_of(developer.folder / "repository")
    developer.put("2", folder="repository/jobs")
    run = developer.run(
        developer.program(f'{{git: ./repository, commit: "{commit}", folder: jobs}}', "q.yaml")
    )
    assert developer.stage(run)["code"] == in_bucket
    assert developer.done() == ["did 1", "did 1"]


def test_code_that_was_changed_holds_the_retry(developer: Developer) -> None:
    """An attempt that is tried again runs no other code; when the code is put back, it goes on."""
    (developer.folder / "strike").touch()
    place = developer.folder / "code" / "v1" / "job.py"
    change = f"text = open('{place}').read(); open('{place}', 'w').write(text + '# other'); sys.exit(1)"
    developer.put(strike=change)
    before = place.read_bytes()
    run = developer.run(developer.program(), code=4)
    assert (run["status"], developer.done()) == ("held", ["did 1"])
    why = developer.clew("why", run["run_id"], "--format", "json").document
    assert (why["held"]["reason"], why["held"]["stage"]) == ("code_changed", "Work")
    assert (
        "held for a person at 'Work': the code that it runs is not what"
        in developer.clew("why", run["run_id"]).out
    )
    place.write_bytes(before)
    (developer.folder / "strike").unlink()
    assert developer.clew("resume", run["run_id"]).code == 0
    assert developer.done() == ["did 1", "did 1"]
    assert developer.clew("verify").code == 0


def test_code_that_is_gone_holds_the_rollback(developer: Developer) -> None:
    """What was done is undone by the code that did it, or not at all."""
    developer.put()
    run = developer.run(developer.program(), "--var", "lane=v1")
    developer.put("2")
    run_id = run["run_id"]
    assert developer.clew("rollback", run_id, "--yes", code=4)
    assert developer.clew("why", run_id, "--format", "json").document["held"]["reason"] == "code_changed"
    os.rename(developer.folder / "code" / "v1", developer.folder / "away")
    assert developer.clew("resume", run_id, code=4)
    assert developer.clew("why", run_id, "--format", "json").document["held"]["reason"] == "code_gone"
    developer.put()
    developer.clew("resume", run_id, code=3)
    assert developer.done() == ["did 1", "undone 1"]


def test_a_rollback_without_the_code_can_be_skipped(developer: Developer) -> None:
    """A person may say that it goes on without; what was done is residue then."""
    developer.put()
    run = developer.run(developer.program())
    developer.put("2")
    developer.clew("rollback", run["run_id"], "--yes", code=4)
    developer.clew("skip", run["run_id"], "Work", code=1)
    assert developer.clew("why", run["run_id"], "--format", "json").document["status"] == "failed"
    assert developer.done() == ["did 1"]


def test_a_lost_first_attempt_has_pinned_its_code(developer: Developer) -> None:
    """Whatever became of it: the orchestrator is killed under it, and what is tried again runs nothing else."""
    (developer.folder / "strike").touch()
    begun = developer.fifo("begun")
    developer.fifo("never")
    developer.put(strike=f"open('{begun}', 'w').write('x\\\\n'); open('{developer.folder}/never').read()")
    process = developer.begin("run", developer.program())
    line_from(begun)
    process.send_signal(signal.SIGKILL)
    developer.end(process)
    (developer.folder / "strike").unlink()
    before = (developer.folder / "code" / "v1" / "job.py").read_bytes()
    developer.put("2")
    developer.clew("resume", code=4)
    assert developer.done() == ["did 1"]
    (developer.folder / "code" / "v1" / "job.py").write_bytes(before)
    [listed] = developer.clew("runs", "--format", "json").document
    developer.clew("resume", listed["run_id"])
    assert developer.done() == ["did 1", "did 1"]


def test_missing_code_fails_the_stage(developer: Developer) -> None:
    """Before anything was done, and it says what is not there; a person may put it there and say so."""
    developer.run(developer.program(), code=3)
    [listed] = developer.clew("runs", "--format", "json").document
    error = developer.clew("why", listed["run_id"], "--format", "json").document["first_error"]
    assert (error["stage"], error["error"]["kind"]) == ("Work", "source")
    assert "there is nothing in the folder 'v1/' of file://" in error["error"]["message"]
    assert developer.done() == []


def test_a_bucket_that_does_not_answer_is_waited_for(developer: Developer) -> None:
    """That is no missing code: the run waits, says why, and goes on when the bucket answers."""
    folder = developer.folder / "code"
    folder.mkdir()
    (folder / "v1").mkdir(mode=0o000)
    if os.access(folder / "v1", os.R_OK):
        (folder / "v1").rmdir()
        (folder / "v1").symlink_to("v1")  # a loop: root may read whatever it wants
    process = developer.begin("run", developer.program())
    assert process.stderr is not None
    while "wait" not in (line := process.stderr.readline()):
        assert line, "it ended without waiting"
    process.send_signal(signal.SIGINT)
    developer.end(process)
    [listed] = developer.clew("runs", "--format", "json").document
    assert listed["status"] == "waiting"
    why = developer.clew("why", "--probe", listed["run_id"]).out
    assert "\n  source: file://" in why and "its code, which is fetched when it begins" in why


def test_a_plan_says_where_code_comes_from(developer: Developer) -> None:
    """As far as it is known; and a bucket that nobody knows is told before anything begins."""
    program = developer.program()
    [stage, _] = [
        one
        for block in developer.clew("plan", program, "--format", "json").document["blocks"]
        for one in block["stages"]
    ]
    assert stage["source"] == {"bucket": "code", "folder": "v1"}
    assert "code from  v1 of code" in developer.clew("plan", program).out
    commit = "0f" * 20
    other = developer.program(f"{{git: git@host:code, commit: {commit}}}", "q.yaml")
    assert f"code from  commit {commit[:12]} of git@host:code" in developer.clew("plan", other).out
    (developer.folder / "clew.toml").write_text("")
    assert "no setting says where the bucket 'code' is" in developer.clew("run", program, code=2).err


def test_a_condition_tests_by_the_same_code(developer: Developer) -> None:
    """What was done is not judged by other code; once that is put back, it is judged, and not done again."""
    (developer.folder / "strike").touch()
    place = developer.folder / "code" / "v1" / "lib" / "more.py"
    developer.put(strike=f"open('{place}', 'a').write('# other')")
    run = developer.run(developer.program(), code=4)
    why = developer.clew("why", run["run_id"], "--format", "json").document
    assert (why["held"]["reason"], why["under_way"][0]["status"]) == ("code_changed", "validating")
    place.write_text(MORE)
    developer.clew("resume", run["run_id"])
    assert developer.done() == ["did 1"]


ITEMS = """
name: items
variables: {places: [PLACE, PLACE]}
stages:
  - name: Each
    for_each: "{places}"
    source: code/v1
    execute: {command: shell, params: [python3, job.py, "{item}"]}
    rollback: {command: delete_file, params: [code/none]}
"""


def test_items_share_their_stage_s_code(developer: Developer) -> None:
    """It is found out once, and each item fetches it. A rollback that runs no code needs none."""
    developer.put()
    program = developer.write("items.yaml", ITEMS.replace("PLACE", str(developer.folder)))
    run = developer.run(program)
    assert developer.done() == ["did 1", "did 1"]
    stage = developer.clew("show", run["run_id"], "Each[1]", "--format", "json").document
    assert set(stage["code"]) == {"source"}
    developer.put("2")
    developer.clew("rollback", run["run_id"], "--yes")


PYTHON = """
from clew import Program, stage
from clew.core.program.model import Command, FolderSource, Stage

@stage(outputs=["n"], rollback="none")
def here(): return 21

fetched = Stage(
    "Fetched", (Command("python", {"function": "lib.more:double"}),), inputs=("n",), source=FolderSource("code", "v1")
)
program = Program("both", stages=[here, fetched])
"""


def test_a_python_program_has_stages_with_sources_too(developer: Developer) -> None:
    """Those that are no functions of its own; they run beside those that are."""
    developer.put()
    developer.write("both.py", PYTHON)
    run = developer.run("both:program")
    assert run["status"] == "completed"


REHEARSED = """
name: rehearsed
stages:
  - name: Work
    source: SOURCE
    execute: [{command: publish_file, params: [data/out, "x"]}, {command: python, params: {function: "lib.more:double", with: {n: 1}}}]
    rollback: [{command: python, params: {function: "lib.more:double", with: {n: 1}}}, {command: delete_file, params: [data/out]}]
"""  # noqa: E501


@pytest.mark.parametrize("kind", ["name", "url", "git"])
def test_a_rehearsal_takes_code_from_copies(developer: Developer, kind: str) -> None:
    """Of buckets by name or by URL; a repository on this machine is read only."""
    developer.put(folder="code")
    commit = commit_of(developer.folder / "code") if kind == "git" else ""
    if kind != "git":
        developer.put()
    source = {
        "name": "code/v1",
        "url": f"file://{developer.folder}/code/v1",
        "git": f"{{git: ./code, commit: {commit}}}",
    }
    program = developer.write("p.yaml", REHEARSED.replace("SOURCE", source[kind]))
    (developer.folder / "p.rehearsal.toml").write_text('as_is = ["python"]\n')
    document = developer.clew("rehearse", program, "--bucket", "data=file:data", "--format", "json").document
    assert document["faults"] == []


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("{git: https://host/code, commit: COMMIT}", "https://host/code"),
        ("{git: git@host:code, commit: COMMIT}", "git@host:code"),
        ("s3://code/jobs", "s3://code"),
    ],
)
def test_a_rehearsal_fetches_from_nowhere_else(developer: Developer, source: str, place: str) -> None:
    """That is told before anything is run."""
    program = developer.write("p.yaml", REHEARSED.replace("SOURCE", source.replace("COMMIT", "0f" * 20)))
    (developer.folder / "p.rehearsal.toml").write_text('as_is = ["python"]\n')
    done = developer.clew("rehearse", program, "--bucket", "data=file:data", code=2)
    assert f"stage 'Work', source, leads to '{place}', and nothing stands in for that" in done.err
