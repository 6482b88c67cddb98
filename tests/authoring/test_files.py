from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clew.authoring.files import is_time_zone, load_document, read_program, read_text
from clew.commands import SIGNATURES
from clew.conditions import SIGNATURES as CONDITIONS
from clew.core.program.bounds import DEPTH_MAX, DOCUMENT_SIZE_MAX, NODE_COUNT_MAX
from clew.core.program.content import content, version
from clew.core.program.model import Program
from clew.core.program.problems import ProgramError


def load(text: str | bytes, name: str = "p.yaml") -> Any:
    return load_document(text, name)[0]


def problem(text: str | bytes, name: str = "p.yaml") -> str:
    with pytest.raises(ProgramError) as caught:
        load_document(text, name)
    (only,) = caught.value.problems
    return str(only)


def read(folder: Path, text: str, name: str = "p.yaml") -> Program:
    (folder / name).write_text(text)
    return read_program(folder / name, SIGNATURES, CONDITIONS)


def problems(folder: Path, text: str, name: str = "p.yaml") -> list[str]:
    with pytest.raises(ProgramError) as caught:
        read(folder, text, name)
    return [str(one).removeprefix(f"{folder}{os.sep}") for one in caught.value.problems]


# ---- a whole program -------------------------------------------------------------------------------------

YAML = r"""
name: line-sources
timezone: America/New_York
custom_times: {cutoff: [now, 7 hours]}
variables: {region: east, limit: 1.5}
stages:
  - name: Collect sources
    dependencies:
      first_file:
        bucket: lines
        prefix:
          - {match: tx}
          - {match: 'batch_(?P<batch>\d{2})\.csv$', type: regex, multiple: max}
    execute:
      command: publish_file
      params: ["lines/out/{run_name}/sources.csv", "name,location", "first_file,{first_file}"]
    retry: {attempts: 3, on: any}
    rollback: {command: delete_file, params: ["lines/out/{run_name}/sources.csv"]}
"""
TOML = r"""
name = "line-sources"
timezone = "America/New_York"
custom_times = {cutoff = ["now", "7 hours"]}
variables = {region = "east", limit = 1.5}

[[stages]]
name = "Collect sources"
retry = {attempts = 3, on = "any"}
rollback = {command = "delete_file", params = ["lines/out/{run_name}/sources.csv"]}

[stages.dependencies.first_file]
bucket = "lines"
prefix = [
  {match = "tx"},
  {match = 'batch_(?P<batch>\d{2})\.csv$', type = "regex", multiple = "max"},
]

[stages.execute]
command = "publish_file"
params = ["lines/out/{run_name}/sources.csv", "name,location", "first_file,{first_file}"]
"""


def test_yaml_json_and_toml_are_one_program(tmp_path: Path) -> None:
    """The same program in YAML, JSON and TOML is one model and one version."""
    from_yaml = read(tmp_path, YAML)
    from_toml = read(tmp_path, TOML, "p.toml")
    from_json = read(tmp_path, json.dumps(content(from_yaml), indent="\t"), "p.json")
    assert from_yaml == from_toml == from_json
    assert version(from_yaml) == version(from_toml) == version(from_json)
    assert from_yaml.stages[0].dependencies[0].prefix[1].match == r"batch_(?P<batch>\d{2})\.csv$"


TEN_MISTAKES = """\
name: ten/mistakes
timezone: Europe/Atlantis
cadence: ["0 25 * * *"]
variables: {region: east}
stages:
  - name: first
    executes: {command: wait, params: [1 second]}
    execute: {command: wiat, params: [1 second]}
  - name: second
    execute:
      command: publish_file
      params:
        - "work/{regoin}.txt"
        - "{run_name"
    timeout: 60
  - name: third
    after: [secnod]
    execute: {command: copy_file, params: {from: a/b}}
    validate:
      - condition: expression
        params: ["region =="]
"""


def test_different_mistakes_are_as_many_problems_each_at_its_line(tmp_path: Path) -> None:
    """A file with eleven different mistakes gives eleven problems, each at its line and with a remedy."""
    assert problems(tmp_path, TEN_MISTAKES) == [
        "p.yaml:1:1: name: 'ten/mistakes' can't be used here; a name begins with a letter or digit, then has "
        "letters, digits, spaces, '.', '_', '-'; 100 at most",
        "p.yaml:2:1: timezone: there is no time zone 'Europe/Atlantis'; write a name of the time zone "
        "database, such as UTC or America/New_York",
        "p.yaml:3:11: cadence[0]: '25' is no hour, at character 3 of '0 25 * * *'; write 0 to 23",
        "p.yaml:7:5: stages[0].executes: there is no key 'executes' here; did you mean 'execute'?",
        "p.yaml:8:15: stages[0].execute.command: there is no command 'wiat'; did you mean 'wait'?",
        "p.yaml:13:11: stages[1].execute.params[0]: nothing produces 'regoin'; did you mean 'region'?",
        "p.yaml:14:11: stages[1].execute.params[1]: the brace at character 1 of '{run_name' is never closed; "
        "write {{ or }} for a brace, {name} for a value",
        "p.yaml:15:5: stages[1].timeout: 60 has no unit; write for example '60 seconds'",
        "p.yaml:17:13: stages[2].after[0]: there is no stage 'secnod'; did you mean 'second'?",
        "p.yaml:18:35: stages[2].execute.params: 'copy_file' needs the param 'to'; `bucket/key`, or a URL",
        "p.yaml:21:18: stages[2].validate[0].params[0]: 'region ==' is no expression: 1:10: "
        "Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', "
        "'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
    ]


def test_mistakes_in_toml_and_json_have_their_lines_too(tmp_path: Path) -> None:
    """The same mistakes stand at their lines in TOML and JSON."""
    toml = (
        'name = "p"\n[[stages]]\nname = "a"\n[stages.execute]\ncommand = "wiat"\n'
        '[[stages]]\nname = "b"\nafter = [\n  "c"]\n'
    )
    assert [one.partition(": ")[0] for one in problems(tmp_path, toml, "p.toml")] == [
        "p.toml:5:1",
        "p.toml:6:1",
        "p.toml:9:3",
    ]
    text = (
        '{"name": "p",\n "stages": [\n  {"name": "a",\n   "execute": {"command": "wiat"}},\n'
        '  {"name": "b",\n   "after": ["c"]}]}'
    )
    assert [one.partition(": ")[0] for one in problems(tmp_path, text, "p.json")] == [
        "p.json:4:16",
        "p.json:5:3",
        "p.json:6:14",
    ]


BACK_YAML = """\
name: p
stages:
  - name: Load
    for_each: files
    max_parallel: 0
    execute: {command: wait, params: ["{item}"]}
    dependencies:
      ok:
        kind: input
        deadline: 5
      no: {kind: inptu}
    rollback:
      command: none
      to: Lod
      on_failure: stop
      restore:
        - out
  - name: Next
    max_parallel: 2
    execute: {command: wait, params: ["{index}"]}
    rollback: {to: Load, attempts: 0}
  - name: Last
    execute: {command: wait, params: [1 second]}
    rollback: imposible
"""
BACK_TOML = """\
name = "p"
[[stages]]
name = "Load"
for_each = "files"
[stages.execute]
command = "wait"
params = ["{index.x}"]
[stages.rollback]
to = "Lod"
restore = ["b/k",
  "k"]
[stages.dependencies.ok]
kind = "input"
deadline = 5
"""


def test_mistakes_in_ways_back_and_items_have_their_lines(tmp_path: Path) -> None:
    """Mistakes in what a rollback, an input and items say are told at their lines, in each format."""
    assert [one.partition(": ")[0] for one in problems(tmp_path, BACK_YAML)] == [
        "p.yaml:4:5", "p.yaml:5:5", "p.yaml:10:9", "p.yaml:11:12", "p.yaml:14:7", "p.yaml:15:7", "p.yaml:16:7",
        "p.yaml:17:11", "p.yaml:19:5", "p.yaml:20:39", "p.yaml:21:26", "p.yaml:24:5",
    ]  # fmt: skip
    assert [one.partition(": ")[0] for one in problems(tmp_path, BACK_TOML, "p.toml")] == [
        "p.toml:4:1", "p.toml:9:1", "p.toml:11:3", "p.toml:14:1",
    ]  # fmt: skip
    text = json.dumps(load(BACK_TOML, "p.toml"), indent=1)
    places = [one.partition(": ")[0] for one in problems(tmp_path, text, "p.json")]
    lines = text.splitlines()
    told = [lines[int(place.split(":")[1]) - 1].strip() for place in places]
    assert told == ['"for_each": "files",', '"to": "Lod",', '"k"', '"deadline": 5']


# ---- any text --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: no\non: off\nb: y", {"a": "no", "on": "off", "b": "y"}),
        ("a: 12:30:45", {"a": "12:30:45"}),
        ("a: 2026-01-01", {"a": "2026-01-01"}),
        ("a: 2026-01-01 13:00", {"a": "2026-01-01 13:00"}),
        ("[~, null, Null, NULL, '', !!null]".replace(", !!null", ""), [None, None, None, None, ""]),
        ("[true, True, FALSE, 'true']", [True, True, False, "true"]),
        ("[0, 12, -3, +4, 0x1F, 0o17]", [0, 12, -3, 4, 31, 15]),
        ("[.5, 1., 1.5e3, -2E-1]", [0.5, 1.0, 1500.0, -0.2]),
        ("[1_000, 0b1, 1e, +, -x, .x, 1.2.3]", ["1_000", "0b1", "1e", "+", "-x", ".x", "1.2.3"]),
        ("a: |\n  x\n  y\nb: >-\n  x\n  y\n", {"a": "x\ny\n", "b": "x y"}),
        ("<<: x", {"<<": "x"}),
        ("%YAML 1.2\n---\na: 1\n...\n", {"a": 1}),
        ("- - 1\n  - 2\n- {a: [3]}", [[1, 2], {"a": [3]}]),
        ("a:", {"a": None}),
        ("# nothing", None),
        ('"\\u00e9 \\x41"', "é A"),
    ],
)
def test_yaml_means_what_version_1_2_says(text: str, value: Any) -> None:
    """YAML's words and numbers mean what version 1.2 says, and surprise nobody."""
    assert load(text) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1", "2:1: program: this is no YAML: did not find expected ',' or ']'"),
        ("a: b: c", "1:5: program: this is no YAML: mapping values are not allowed"),
        ("x: é é\n\ta: 1", "2:1: program: this is no YAML"),
        ("a: \x01", "1:4: program: this is no YAML: control characters are not allowed"),
        ("a: 1\nb: \x7f", "2:4: program: this is no YAML: control characters are not allowed"),
        ("a: &x 1\nb: *x", "1:4: program: '&x' is an anchor; write values out"),
        ("a: 1\nb: *x", "2:4: program: '*x' is an alias; write out what it stands for"),
        (
            "a: !!python/object:os.system x",
            "1:4: program: 'tag:yaml.org,2002:python/object:os.system' is a tag",
        ),
        ("a: ! x", "1:4: program: '!' is a tag"),
        ("!x {a: 1}", "1:1: program: '!x' is a tag"),
        ("%TAG ! x:\n---\na: 1", "1:1: program: tags can't be declared"),
        ("a: 1\nb: 2\na: 3", "3:1: a: the key 'a' is here twice; keep one of them"),
        ("x: {a: 1, a: 2}", "1:11: x.a: the key 'a' is here twice"),
        ("---\na: 1\n---\nb: 1", "3:1: program: a second document begins here"),
        ("1: x", "1:1: program: '1' as a key is no text; put it in quotes"),
        ("a: {true: x}", "1:5: a: 'true' as a key is no text"),
        ("[a]: x", "1:1: program: a list or mapping as a key is no text"),
        ("a: 012", 'a: 012 could be a text or a number; write "012" in quotes for a text, 12 for a number'),
        ("a: -07", "-07 could be a text or a number"),
        ("a: .nan", "a: .nan is no number that JSON has"),
        ("a: [1, -.inf]", "1:8: a[1]: -.inf is no number that JSON has"),
        ("a: " + "1" * 500, "a: a number of 500 characters"),
        ("a: 1." + "1" * 500, "a: a number of 502 characters"),
        ("[" * 5000, f"1:{DEPTH_MAX + 2}: [0][0][0]: this is nested more than {DEPTH_MAX} levels deep"),
        ("[" + "0," * (NODE_COUNT_MAX + 1) + "]", f"the document has more than {NODE_COUNT_MAX} values"),
        ("", "1:1: program: the file is empty; a program has a name and stages"),
        (" \n\n", "1:1: program: the file is empty"),
        (
            b"\xef\xbb\xbfname: p",
            "1:1: program: the file begins with a byte order mark; save it as UTF-8 without",
        ),
        ("name: p".encode("utf-16"), "1:1: program: the file begins with a byte order mark"),
        (b"name: p\nx: \xff", "2:4: program: the file is not UTF-8; save it as UTF-8"),
        ("a: \ud800", "1:4: program: the file is not UTF-8"),
        ("name: p\nx: a\0b", "2:5: program: the file holds a zero character"),
        ("a: " + "x" * DOCUMENT_SIZE_MAX, f"the file has more than {DOCUMENT_SIZE_MAX} bytes"),
    ],
)
def test_a_bad_yaml_text_is_one_problem_at_its_place(text: str | bytes, said: str) -> None:
    """A text that is no YAML, or more than JSON can say, is a problem at its exact place."""
    assert said in problem(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a":1,}', "1:8: program: nothing follows the last comma; leave the comma out"),
        ("[1,\n ]", "2:2: program: nothing follows the last comma"),
        ('{"a":1 "b":2}', "1:8: program: ',' was expected here or the closing }"),
        ("[1 2]", "1:4: program: ',' was expected here or the closing ]"),
        ('{"a" 1}', "1:6: program: ':' was expected here"),
        ('{"a":1,\n "a":2}', "2:2: a: the key 'a' is here twice; keep one of them"),
        ("{a:1}", '1:2: program: a key was expected here; keys stand in "quotes"'),
        ("[" * 5000, "this is nested more than"),
        ("[1,2", "1:5: program: the text ends too early; ',' was expected or the closing ]"),
        ('{"a":', "1:6: program: the text ends too early"),
        ("[01]", "1:3: program: ',' was expected"),
        ("[nul]", "1:2: program: 'nul' is no JSON value; texts stand in"),
        ("[NaN]", "1:2: program: 'NaN' is no JSON value"),
        ("['a']", "1:2: program: ''' is no JSON value"),
        ("[1] x", "1:5: program: something follows the document's end"),
        ('"abc', "1:1: program: this text can't be read: unterminated string"),
        ('["a\tb"]', "1:4: program: this text can't be read: invalid control character"),
        ('["\\q"]', "1:3: program: this text can't be read: invalid \\escape"),
        ("1" * 500, "program: a number of 500 characters"),
        ("", "the file is empty"),
    ],
)
def test_a_bad_json_text_is_one_problem_at_its_place(text: str, said: str) -> None:
    """A text that is no JSON is a problem at its exact place."""
    assert said in problem(text, "p.json")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = = 1", "1:5: program: this is no TOML: Invalid value"),
        ("a=1\nb", "2:1: program: this is no TOML"),
        ("a=[1\n", "2:1: program: this is no TOML: Unclosed array"),
        ("a=1\na=2", "2:1: program: this is no TOML: Cannot overwrite a value"),
        ("a=1\n[a]\nb=1", "2:"),
        ("a={b=1", "this is no TOML"),
        ("a={b=1 c=2}", "this is no TOML"),
        ("a=[1 2]", "this is no TOML"),
        ("[a\nb=1", "this is no TOML"),
        ("[]\nb=1", "this is no TOML"),
        ('"\\q"=1', "this is no TOML"),
        ("a=", "this is no TOML"),
        ("a=" + "1" * 5000, "this is no TOML: Exceeds the limit"),
        ("a=" + "[" * 5000, f"1:35: a[0][0]: this is nested more than {DEPTH_MAX} levels deep"),
        ("a=" + "{a=" * 5000, f"a.a.a: this is nested more than {DEPTH_MAX} levels deep"),
        ("a." * 100_000 + "a=1", f"this is nested more than {DEPTH_MAX} levels deep"),
        ("a=[" + "0," * (NODE_COUNT_MAX + 1) + "]", f"the document has more than {NODE_COUNT_MAX} values"),
    ],
)
def test_a_bad_toml_text_is_one_problem_at_its_place(text: str, said: str) -> None:
    """A text that is no TOML is a problem at its place."""
    assert said in problem(text, "p.toml")


def test_what_is_no_program_file_by_its_name_is_refused() -> None:
    """A file of another ending is no program file."""
    assert problem("a: 1", "p.txt") == (
        "p.txt:1:1: program: 'p.txt' is no program file; its name ends in .yaml, .yml, .json, .toml"
    )


def test_toml_s_own_values_become_texts_and_numbers() -> None:
    """Dates and times of TOML become texts, as they are in the other formats."""
    text = "a = 2026-01-01\nb = 2026-01-01T10:00:00Z\nc = 10:00:00\nd = 0x1F\ne = 1_000\nf = 1.5\n"
    assert load(text, "p.toml") == {
        "a": "2026-01-01",
        "b": "2026-01-01T10:00:00+00:00",
        "c": "10:00:00",
        "d": 31,
        "e": 1000,
        "f": 1.5,
    }


# ---- places ----------------------------------------------------------------------------------------------

PLACED_TOML = r"""# first
name = "x" # c
variables = {region = "e", "q\u00e9" = 1, 'a b'.c = 2}
title.foo.bar = 3
[[stages]]
name = "a"
outputs = [ "o1",
  "o2", # x ]
]
  [stages.execute]
  command = "shell"
  params = [{}, '''c]''' , \"\"\"a
  b\"\"\"  , [ ] ]
[[stages]]
name = "b"
[stages.retry]
attempts = "x"
[[stages.list]]
[[stages.list]]
z = 1
""".replace('\\"', '"')


@pytest.mark.parametrize(
    ("path", "line", "column"),
    [
        ((), 1, 1),
        (("name",), 2, 1),
        (("variables", "region"), 3, 14),
        (("variables", "qé"), 3, 28),
        (("variables", "a b", "c"), 3, 43),
        (("title", "foo", "bar"), 4, 1),
        (("stages",), 5, 1),
        (("stages", 0), 5, 1),
        (("stages", 0, "outputs", 0), 7, 13),
        (("stages", 0, "outputs", 1), 8, 3),
        (("stages", 0, "execute"), 10, 3),
        (("stages", 0, "execute", "params", 1), 12, 17),
        (("stages", 0, "execute", "params", 3), 13, 11),
        (("stages", 1), 14, 1),
        (("stages", 1, "retry", "attempts"), 17, 1),
        (("stages", 1, "list", 1, "z"), 20, 1),
    ],
)
def test_everything_in_a_toml_text_has_its_place(path: tuple, line: int, column: int) -> None:
    """Each key and each item of a TOML text has its line and column."""
    place = load_document(PLACED_TOML, "p.toml")[1](path)
    assert place is not None
    assert (place.file, place.line, place.column) == ("p.toml", line, column)


def _paths(value: Any, path: tuple = ()) -> list[tuple]:
    if isinstance(value, dict):
        return [path, *(one for key, item in value.items() for one in _paths(item, (*path, key)))]
    if isinstance(value, list):
        return [path, *(one for at, item in enumerate(value) for one in _paths(item, (*path, at)))]
    return [path]


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(_JSON, st.sampled_from([None, 0, 2, "\t"]), st.booleans())
@example({"\U0001f600": "\u2028"}, None, True)
def test_json_is_read_as_the_standard_library_reads_it(value: Any, indent: Any, ascii: bool) -> None:
    """Any JSON text gives the value that it was written from, and every part of it has its place."""
    text = json.dumps(value, indent=indent, ensure_ascii=ascii)
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    if "\0" in text:
        return
    document, place_of = load_document(text, "p.json")
    assert document == value
    lines = text.split("\n")
    for path in _paths(document):
        place = place_of(path)
        assert place is not None
        start = lines[place.line - 1][place.column - 1 :]
        if path and isinstance(path[-1], str):
            assert start.startswith(json.dumps(path[-1], ensure_ascii=ascii))


@given(_JSON)
def test_json_within_ascii_is_yaml_too(value: Any) -> None:
    """A document written as JSON means the same when its file is called YAML."""
    text = json.dumps(value)
    if "\\ud" in text or "\\u0000" in text:
        return
    assert load(text, "p.yaml") == value


@given(st.text(max_size=40), st.sampled_from(["p.yaml", "p.json", "p.toml"]))
def test_any_text_is_a_document_or_one_problem(text: str, name: str) -> None:
    """Any text is a document, or one problem within the text."""
    try:
        load_document(text, name)
    except ProgramError as error:
        (only,) = error.problems
        assert only.place is not None
        assert 1 <= only.place.line <= text.count("\n") + 2


@given(
    st.text(alphabet="ab=[]{},.\"'\n #1:-&*!|>", max_size=40), st.sampled_from(["p.yaml", "p.json", "p.toml"])
)
def test_any_text_of_syntax_is_a_document_or_one_problem(text: str, name: str) -> None:
    """Any text of a format's own marks is a document, all of whose parts have places, or one problem."""
    try:
        document, place_of = load_document(text, name)
    except ProgramError as error:
        assert len(error.problems) == 1
    else:
        assert all(place_of(path) for path in _paths(document))


# ---- files -----------------------------------------------------------------------------------------------


def test_what_is_no_file_to_read_is_a_problem(tmp_path: Path) -> None:
    """A missing file, a folder and a pipe are problems that say so, and none of them is waited for."""
    os.mkfifo(tmp_path / "pipe.yaml")
    for name, said in [
        ("missing.yaml", "no such file or directory"),
        ("", "this is no regular file"),
        ("pipe.yaml", "this is no regular file"),
    ]:
        with pytest.raises(ProgramError) as caught:
            read_program(tmp_path / name, SIGNATURES, CONDITIONS)
        assert said in str(caught.value)


def test_a_file_larger_than_allowed_is_not_read_whole(tmp_path: Path) -> None:
    """Of a file beyond the bound no more is read than shows that it is."""
    (tmp_path / "p.yaml").write_bytes(b"x" * (DOCUMENT_SIZE_MAX + 1000))
    assert len(read_text(tmp_path / "p.yaml")) == DOCUMENT_SIZE_MAX + 1


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("UTC", True),
        ("Europe/Berlin", True),
        ("America", False),
        ("Europe/Atlantis", False),
        ("../etc/passwd", False),
    ],
)
def test_a_time_zone_is_looked_up(name: str, known: bool) -> None:
    """A time zone is known if the time zone database has it."""
    assert is_time_zone(name) is known


def test_nothing_of_a_bad_file_is_used(tmp_path: Path) -> None:
    """A file with one mistake in its last line gives no program at all."""
    with pytest.raises(ProgramError):
        read(tmp_path, YAML + "nope: 1\n")
