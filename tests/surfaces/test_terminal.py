"""What a person sees at a terminal: a picture that moves, within its columns, that data can't disturb."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.surfaces.calling import CLEW, Person, line_from, line_into
from tests.surfaces.terminal import STYLE, terminal

from clew.cli.output import Output, escaped, escaped_text, took_text, value_text

SLOW = """
name: slow
stages:
  - name: Wait for a word
    execute: {command: shell, params: [sh, -c, "echo begun > FOLDER/begun; cat FOLDER/go_on"]}
    outputs: {said: {from: stdout}}
    rollback: none
  - name: Say it
    execute: {command: shell, params: [printf, '{said}\\033[2J']}
    outputs: {shown: {from: stdout}}
    rollback: none
"""


def lines_of(shown: str) -> list[str]:
    return [line for line in re.split(r"[\r\n]+", STYLE.sub("", shown)) if line]


def test_the_picture(person: Person) -> None:
    """While a run goes on its stages are drawn within the columns; at the end the tables stand there."""
    begun, go_on = person.fifo("begun"), person.fifo("go_on")
    name = person.write("slow.yaml", SLOW.replace("FOLDER", str(person.folder)))
    with terminal(person, "run", name, columns=60) as screen:
        assert line_from(begun) == "begun"
        screen.until("0 of 2 stages done")
        screen.until("▸ started       Wait for a word")
        screen.until("· pending       Say it")
        assert all(len(line) <= 60 for line in lines_of(screen.shown)), screen.shown
        line_into(go_on, "a word")
        assert screen.end() == 0
    assert "✓ completed" in STYLE.sub("", screen.shown)
    assert "next: `clew show" in screen.shown
    assert "\x1b[2J" not in screen.shown, "what a stage wrote must not move the cursor"
    assert "a word\\u001b[2J" in screen.shown


def test_tables_fit(person: Person) -> None:
    """At a terminal the widest column is cut; in a pipe nothing is."""
    name = "n" * 70
    text = f"{{name: wide, stages: [{{name: {name}, rollback: none, execute: {{command: shell, params: ['true']}}}}]}}"
    run = person.run(person.write("wide.yaml", text))
    with terminal(person, "show", run["run_id"], columns=80) as screen:
        assert screen.end() == 0
    assert all(len(line) <= 80 for line in lines_of(screen.shown)), screen.shown
    assert "nnn…" in screen.shown
    assert name in person.clew("show", run["run_id"]).out


@pytest.mark.parametrize(
    ("words", "environment", "is_coloured"),
    [
        ((), {}, True),
        ((), {"NO_COLOR": "1"}, False),
        ((), {"TERM": "dumb"}, False),
        (("--color", "never"), {}, False),
        (("--color", "always"), {"NO_COLOR": "1"}, True),
    ],
)
def test_colours(
    person: Person, words: tuple[str, ...], environment: dict[str, str], is_coloured: bool
) -> None:
    """Colours at a terminal, unless NO_COLOR or the flag says otherwise; the words are the same."""
    text = "{name: c, stages: [{name: A, rollback: none, execute: {command: shell, params: ['true']}}]}"
    person.run(person.write("c.yaml", text))
    with terminal(person, "runs", *words, environment=environment) as screen:
        assert screen.end() == 0
    assert ("\x1b[32m" in screen.shown) is is_coloured
    assert "✓ completed" in STYLE.sub("", screen.shown)


def test_marks_where_there_is_only_ascii(person: Person) -> None:
    """A stream that can't write a mark gets a plain one."""
    text = "{name: c, stages: [{name: A, rollback: none, execute: {command: shell, params: ['true']}}]}"
    person.run(person.write("c.yaml", text))
    environment = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    assert "+ completed" in person.clew("runs", environment=environment).out


def test_a_reader_that_goes(person: Person) -> None:
    """`clew schema | head -1`: no complaint, and the code of what was done."""
    reading = subprocess.Popen(
        [*CLEW, "schema"], cwd=person.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert reading.stdout is not None and reading.stderr is not None
    reading.stdout.close()
    assert reading.stderr.read() == ""
    reading.stderr.close()
    assert reading.wait() == 0


# ---- starting quickly ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "unloaded"),
    [
        (("--help",), {"clew.wiring", "clew.core", "clew.operations", "msgspec", "apsw", "asyncio", "rich"}),
        (
            ("runs",),
            {"asyncio", "clew.orchestrator", "yaml", "rich", "re2", "cel", "urllib3", "jsonschema_rs"},
        ),
        (("run", "c.yaml"), {"rich", "re2", "cel", "urllib3", "jsonschema_rs", "importlib.metadata"}),
    ],
)
def test_what_a_verb_loads(person: Person, words: tuple[str, ...], unloaded: set[str]) -> None:
    """A verb loads what it needs and no more: starting is most of what a short verb costs."""
    text = "{name: c, stages: [{name: A, rollback: none, execute: {command: shell, params: ['true']}}]}"
    person.write("c.yaml", text)
    if words[0] == "runs":
        person.run("c.yaml")
    script = (
        "import sys; from clew.cli.main import call; code = call(sys.argv[1:]); "
        "print(code, *sys.modules, file=open('loaded', 'w'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *words], cwd=person.folder, capture_output=True, text=True
    )
    code, *loaded = (person.folder / "loaded").read_text().split()
    assert code == "0", done.stderr
    assert not unloaded & set(loaded)


# ---- harmless texts --------------------------------------------------------------------------------------


@given(st.text())
def test_no_control_character_is_left(text: str) -> None:
    """Whatever data holds, one line of it stays one line, and nothing of it is an order to the terminal."""
    for shown in (escaped(text), value_text(text)):
        assert shown.isprintable() or not re.search(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", shown)
        assert len(shown.splitlines()) <= 1
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", escaped_text(text))


@pytest.mark.parametrize(
    ("milliseconds", "said"),
    [
        (0, "0.0 s"),
        (-5, "0.0 s"),
        (230, "0.2 s"),
        (12_900, "12 s"),
        (185_000, "3 min 5 s"),
        (7_440_000, "2 h 4 min"),
    ],
)
def test_lengths_of_time(milliseconds: int, said: str) -> None:
    assert took_text(milliseconds) == said


def test_wide_letters_line_up(capsys: pytest.CaptureFixture[str]) -> None:
    """Letters that take two columns are counted as two, marks over letters as none."""
    Output().table(("A", "B"), [("北京", "x"), ("e\u0301", "y")])
    assert capsys.readouterr().out == "A     B\n北京  x\ne\u0301     y\n"
