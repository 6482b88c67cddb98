from __future__ import annotations

import json
import re
import shlex
import sqlite3

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from clew.core.program import templates, variables
from clew.core.program.signatures import EXPRESSION, LITERAL, REGEX, SHELL, SQL, TEXT
from clew.core.program.variables import (
    Reference,
    TemplateError,
    bind,
    is_location,
    names_in,
    references,
    render,
    templates_in,
)

LOCATION = {"url": "file:/data/k.csv", "bucket": "data", "key": "k.csv", "size": 3}
SCOPE = {
    "a": 1,
    "s": "x y",
    "list": [1, 2],
    "when": "2026-01-05T13:04:05.678+02:00",
    "file": LOCATION,
    "files": [LOCATION, "other"],
    "nothing": None,
    "yes": True,
    "inner": {"deep": [{"x": "q'"}], "a-b": 2},
    "empty": {},
}


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("plain", "plain"),
        ("{a}", 1),
        ("{list}", [1, 2]),
        ("{nothing}", None),
        ("{file}", "file:/data/k.csv"),
        ("{files}", ["file:/data/k.csv", "other"]),
        ("{file.size}", 3),
        ("at {file}", "at file:/data/k.csv"),
        ("{a}-{s}", "1-x y"),
        ("{yes}, {nothing}, {list}", "true, null, [1,2]"),
        ("{inner.deep[0].x}", "q'"),
        ("{inner.a-b}", 2),
        ("{{a}}", "{a}"),
        ("{{{a}}}", "{1}"),
        ("{{}}", "{}"),
        ("{when:%Y/%m/%d}", "2026/01/05"),
        (["{a}", {"b": "{s}", "{c}": 1.5}], [1, {"b": "x y", "{c}": 1.5}]),
        (("{a}",), [1]),
    ],
)
def test_references_are_replaced_by_values(template: object, value: object) -> None:
    """References are replaced by the map's values; one that stands alone keeps the value's type."""
    assert render(template, SCOPE) == value


@pytest.mark.parametrize(
    ("directives", "text"),
    [
        ("%Y-%m-%d %H:%M:%S.%f", "2026-01-05 13:04:05.678000"),
        ("%y %j %I %p", "26 005 01 PM"),
        ("%a %A %b %B", "Mon Monday Jan January"),
        ("%G-W%V-%u %z", "2026-W02-1 +0200"),
        ("%%Y %% 100%%", "%Y % 100%"),
    ],
)
def test_times_are_formatted_in_their_own_offset(directives: str, text: str) -> None:
    """A time is written by its directives, in its own offset and in English."""
    assert render(f"{{when:{directives}}}", SCOPE) == text


def test_a_morning_and_a_bare_date_have_formats_too() -> None:
    """A morning is AM, and a date without a time is its first instant."""
    assert render("{t:%p %I}", {"t": "2026-01-05T00:10"}) == "AM 12"
    assert render("{t:%Y %H}", {"t": "2026-01-05"}) == "2026 00"


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{a", "is never closed; write {{"),
        ("a}", "closes nothing"),
        ("{ a }", "write {a} without spaces"),
        ("{ a b }", "is no reference"),
        ("{a()}", "nothing is called"),
        ("{a!r}", "is no reference"),
        ("{1}", "is no reference"),
        ("{}", "is no reference"),
        ("{_a}", "is no reference"),
        ("{a.b.}", "is no reference"),
        ("{a.__class__}", "a number has no fields"),
        ("{when:}", "has no usable format"),
        ("{when:" + "x" * 300 + "}", "has no usable format"),
        ("{when:%Q}", "'%Q' in '{when:%Q}' is no directive; there are %% %A"),
        ("{when:%10Y}", "is no directive"),
        ("{when:%}", "is no directive"),
        ("{wen}", "nothing is called 'wen' in {wen}; did you mean 'when'?"),
        ("{list[7]}", "there is no [7] in {list[7]}; the list has 2 items"),
        ("{inner.dep}", "did you mean 'deep'?"),
        ("{inner.zzzzzz}", "there are a-b, deep"),
        ("{empty.x}", "it is empty"),
        ("{s.x}", "a text has no fields"),
        ("{s[0]}", "a text has no positions"),
        ("{list.x}", "a list has no fields"),
        ("{inner[0]}", "a mapping has no positions"),
        ("{nothing.x}", "null has no fields"),
        ("{yes.x}", "a true or false has no fields"),
        ("{s:%Y}", "'x y' is no time"),
        ("{a:%Y}", "a number is no time"),
        ("{" + "a" * 2 * 1024 * 1024, "at most"),
    ],
)
def test_what_can_t_be_filled_in_is_an_error_with_a_remedy(template: str, says: str) -> None:
    """A template that can't be read or filled in is an error that says what would be right."""
    with pytest.raises(TemplateError) as caught:
        render(template, SCOPE)
    assert says in str(caught.value)
    assert caught.value.what


def test_a_rendered_text_is_bounded() -> None:
    """A small template can't make a text beyond all bounds."""
    with pytest.raises(TemplateError, match="more than"):
        render("{a}" * 40, {"a": "x" * 1024 * 1024})


def test_values_are_never_scanned_again() -> None:
    """What a value contains is never taken for a reference."""
    assert render("<{a}>", {"a": "{b}", "b": "no"}) == "<{b}>"


def test_a_reference_is_written_as_it_was_read() -> None:
    """A reference is written as it was read."""
    (reference,) = references("{a.b[0].c:%Y}")
    assert reference == Reference("a", ("b", 0, "c"), "%Y")
    assert str(reference) == "{a.b[0].c:%Y}"


@pytest.mark.parametrize(
    ("text", "kind", "names"),
    [
        ("{a} {b.c}", TEXT, ["a", "b"]),
        ("{a}", LITERAL, []),
        ("{", LITERAL, []),
        ("b > a", EXPRESSION, ["a", "b"]),
        (r"\d{2}{a}\p{Greek}\P{L}\x{10FFFF}{3,}{1,2}", REGEX, ["a"]),
        (r"\\x{a}", REGEX, ["a"]),
        (r"\\\x{a}", REGEX, []),
        ("select {a}", SQL, ["a"]),
        ("cat {a}", SHELL, ["a"]),
    ],
)
def test_the_kind_of_a_text_says_what_a_reference_is(text: str, kind: str, names: list[str]) -> None:
    """The kind of a text says which of its braces are references."""
    assert [one.name for one in references(text, kind)] == names


def test_a_bad_expression_is_a_bad_template() -> None:
    """An expression whose names can't be told is a TemplateError like any other."""
    with pytest.raises(TemplateError):
        references("(" * 100, EXPRESSION)


def test_expressions_and_literals_are_given_back_as_they_are() -> None:
    """Rendering leaves expressions and literals alone."""
    assert render("a > {b}", SCOPE, EXPRESSION) == "a > {b}"
    assert render({"x": "{b}"}, SCOPE, LITERAL) == {"x": "{b}"}


def test_a_path_s_element_is_a_regex_where_its_type_says_so() -> None:
    """An element's `match` is a regex where its type says so, and a text otherwise."""
    prefix = [{"match": "{s}"}, {"match": r"\d{2}{s}", "type": "regex"}]
    for kind in (TEXT, REGEX):
        assert render(prefix, SCOPE, kind) == [{"match": "x y"}, {"match": r"\d{2}x\ y", "type": "regex"}]
        assert names_in(prefix, kind) == {"s"}
    assert [kind for _, _, kind in templates_in(prefix[1:])] == [REGEX, TEXT]
    assert [kind for _, _, kind in templates_in({"match": "x"}, SQL)] == [SQL]


def test_names_are_found_wherever_strings_are() -> None:
    """Names are found in lists and mappings, but not in keys."""
    value = {"x": ["{a}", {"{no}": "{b.c}"}], "y": 3}
    assert names_in(value) == {"a", "b"}
    assert [path for path, _, _ in templates_in(value)] == [("x", 0), ("x", 1, "{no}")]


def test_a_location_is_told_from_other_mappings() -> None:
    """Only what has a location's fields stands for its URL."""
    assert is_location(LOCATION)
    assert not is_location({"url": "x"})
    assert render("{a}", {"a": {"url": "x"}}) == {"url": "x"}


# ---- regexes ---------------------------------------------------------------------------------------------


@given(st.text(max_size=30))
def test_a_value_in_a_regex_matches_itself_and_nothing_else(text: str) -> None:
    """A value in a regex matches itself, by RE2's rules and by Python's."""
    pattern = render("{a}", {"a": text}, REGEX)
    assert re.fullmatch(pattern, text)
    assert re2.fullmatch(pattern, text)
    assert not re2.fullmatch(pattern, text + "x")


# ---- statements ------------------------------------------------------------------------------------------


def test_a_statement_s_references_become_parameters() -> None:
    """Each reference of a statement becomes a parameter, the same one twice the same parameter."""
    statement, values = bind("insert {a}, {list} -- ok\n where b = {a} and c = 'it''s' and d = {s}", SCOPE)
    assert statement == "insert :clew_0, :clew_1 -- ok\n where b = :clew_0 and c = 'it''s' and d = :clew_2"
    assert values == {"clew_0": 1, "clew_1": "[1,2]", "clew_2": "x y"}


@given(st.text(max_size=30).filter(lambda text: "\0" not in text and text.isprintable()))
def test_a_bound_value_comes_back_from_a_database_unchanged(text: str) -> None:
    """What is bound comes back from a database unchanged, whatever it contains."""
    statement, values = bind("select {a}", {"a": text})
    with sqlite3.connect(":memory:") as connection:
        assert connection.execute(statement, values).fetchone() == (text,)
    connection.close()


def test_marks_within_quotes_of_a_statement_mean_nothing() -> None:
    """A comment's marks within quotes, and an end without a beginning, change nothing."""
    assert bind("a */ '--' \n '/*' {a}", {"a": 1}) == ("a */ '--' \n '/*' :clew_0", {"clew_0": 1})


@pytest.mark.parametrize("statement", ["'{a}'", 'x "{a}"', "-- {a}", "/* {a} */", "'it''s {a}'"])
def test_a_reference_within_quotes_or_comments_of_a_statement_is_refused(statement: str) -> None:
    """A parameter within quotes would be text, so it is refused with the remedy."""
    with pytest.raises(TemplateError, match="leave out the quotes"):
        bind(statement, {"a": 1})


# ---- command lines ---------------------------------------------------------------------------------------

_WORDS = st.text(max_size=30).filter(lambda text: "\0" not in text)


@given(_WORDS, _WORDS)
def test_a_value_in_a_command_line_is_one_word(first: str, second: str) -> None:
    """A value in a command line is one word, whatever it contains."""
    line = render("run {a} --x={b} 'it'", {"a": first, "b": second}, SHELL)
    assert shlex.split(line) == ["run", first, f"--x={second}", "it"]


@pytest.mark.parametrize(
    "line",
    [
        "echo '{a}'",
        'echo "{a}"',
        'echo "x\\"{a}"',
        "echo `cat {a}`",
        "echo x # it {a}",
        "# {a}",
        "cat <<END\n{a}\nEND",
        "echo $'\\'{a}'",
        "echo $(({a} + 1))",
        "echo ${a}",
        "echo \\{a}",
    ],
)
def test_a_reference_where_no_quoting_is_safe_is_refused(line: str) -> None:
    """Within quotes, comments, here-documents and arithmetic a value could escape, so it is refused."""
    with pytest.raises(TemplateError):
        references(line, SHELL)


@pytest.mark.parametrize(
    "line",
    [
        "echo 'it' \"s\" {a} \\' {a}",
        "echo `date` {a} # why\n echo {a}",
        "echo $((1 + 2)) {a}",
        "cat <<<{a}",
        "echo x#y {a} $# $HOME ${{HOME}} {a}",
        "{a}{a}",
        "'never closed {{",
    ],
)
def test_a_reference_that_stands_alone_is_taken(line: str) -> None:
    """A reference outside of quotes is taken, whatever quotes stand around it."""
    assert all(one.name == "a" for one in references(line, SHELL))


def test_a_zero_character_can_t_be_in_a_command_line() -> None:
    """A zero character can't be in a command line."""
    with pytest.raises(TemplateError, match="zero character"):
        render("echo {a}", {"a": "x\0"}, SHELL)


def test_a_list_in_a_command_line_is_one_word_of_json() -> None:
    """A list in a command line is one word, its JSON text."""
    assert shlex.split(render("run {list}", SCOPE, SHELL)) == ["run", "[1,2]"]


# ---- properties ------------------------------------------------------------------------------------------

_NAMES = st.from_regex(variables.NAME, fullmatch=True)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(st.text(max_size=8) | st.tuples(_NAMES, _JSON), max_size=6))
def test_a_template_is_its_texts_and_values_put_together(parts: list) -> None:
    """Texts with their braces doubled, and references between them, come back as texts and values."""
    scope = {part[0]: part[1] for part in parts if isinstance(part, tuple)}
    template = "".join(
        f"{{{part[0]}}}" if isinstance(part, tuple) else part.replace("{", "{{").replace("}", "}}")
        for part in parts
    )
    expected = [_written(scope[part[0]]) if isinstance(part, tuple) else part for part in parts]
    assert render("#" + template, scope) == "#" + "".join(expected)


@given(st.text(alphabet="{}ab.[0]:%Y \\x", max_size=24), st.sampled_from([TEXT, REGEX, SQL, SHELL]))
def test_any_text_is_a_template_or_refused(text: str, kind: str) -> None:
    """Any text is a template, or a TemplateError that says what would be right."""
    try:
        references(text, kind)
    except TemplateError as error:
        assert error.what


def test_templates_are_read_once() -> None:
    """The same template is taken apart once."""
    assert templates.pieces_of("x {a}", TEXT) is templates.pieces_of("x {a}", TEXT)


def _written(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
