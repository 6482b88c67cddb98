"""Path patterns: how a prefix is cut into segments, and which mistakes it can have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.core.planning.patterns import (
    MATCH_LENGTH_MAX,
    PatternError,
    exact_problem,
    natural,
    pattern_problem,
    prefix_problems,
    prepare,
)
from clew.core.program.model import Element


def regex_segments(match, scope=None):
    pattern = prepare((Element(match, "regex"),), scope or {})
    return [
        (segment.start, segment.regex.pattern if segment.regex else None)
        for segment in pattern.steps[0].segments
    ]


@pytest.mark.parametrize(
    ("match", "segments"),
    [
        ("tx", [("tx", "tx")]),
        ("tx$", [("tx", None)]),
        ("^tx$", [("tx", None)]),
        ("^", [("", "^")]),
        ("$", [("", "$")]),
        (r"a$/b\.c", [("a", None), ("b.c", r"b\.c")]),
        (r"a\/b", [("a", "a"), ("b", "b")]),
        (r"batch_(\d+)\.csv$", [("batch_", r"batch_(\d+)\.csv$")]),
        (r"[/]x/b", [("", "[/]x"), ("b", "b")]),
        (r"[^]/]x/b", [("", "[^]/]x"), ("b", "b")]),
        (r"[[:alpha:]/]/b", [("", "[[:alpha:]/]"), ("b", "b")]),
        (r"[\]/]/b", [("", r"[\]/]"), ("b", "b")]),
        (r"(?:a|[/])/b", [("", "(?:a|[/])"), ("b", "b")]),
        ("(?i)a/b", [("", "(?i)a"), ("", "(?i)b")]),
        ("a(?i)b/c$", [("a", "a(?i)b"), ("", "(?i)c$")]),
        ("(a(?i)b)/c", [("", "(a(?i)b)"), ("c", "c")]),
        ("(?i:a)b/c", [("", "(?i:a)b"), ("c", "c")]),
        ("a|b", [("", "a|b")]),
        ("a(b|c)", [("a", "a(b|c)")]),
        ("ab?c", [("a", "ab?c")]),
        ("ab*c", [("a", "ab*c")]),
        ("ab+c", [("ab", "ab+c")]),
        ("ab{0,2}c", [("a", "ab{0,2}c")]),
        ("ab{2}?c", [("ab", "ab{2}?c")]),
        ("ab(?i)*c", [("", "ab(?i)*c")]),
        (r"\d*x", [("", r"\d*x")]),
        (r"a\x{41}", [("a", r"a\x{41}")]),
        (r"a\pL", [("a", r"a\pL")]),
        (r"a\p{Greek}/b", [("a", r"a\p{Greek}"), ("b", "b")]),
        ("a.b", [("a", "a.b")]),
        ("a$b", [("a", "a$b")]),
    ],
)
def test_a_regex_is_cut_at_slashes_and_knows_how_its_names_begin(match, segments):
    """A regex is cut at each slash outside brackets and groups, and says how whatever fits must begin."""
    assert regex_segments(match) == segments


def test_values_stand_for_themselves_in_a_regex():
    """A value that is filled into a regex is escaped, and a slash in it separates segments."""
    assert regex_segments("{name}$", {"name": "a.b/c+"}) == [("a.b", r"a\.b"), ("c+", None)]
    assert regex_segments("{name}", {"name": "daily/"}) == [("daily", "daily")]


def test_a_number_can_be_matched_exactly_and_other_values_cannot():
    """A whole number is a text where a match needs one; true, lists and mappings are told as mistakes."""
    assert prepare((Element("{n}"),), {"n": 7}).steps[0].segments[0].start == "7"
    for value in (True, ["a"], {"a": 1}, None, 1.5):
        with pytest.raises(PatternError, match="a match is a text"):
            prepare((Element("{n}"),), {"n": value})


def test_a_slash_at_the_end_asks_for_a_folder_on_the_last_element_only():
    """A trailing slash means a folder at the end of a prefix and nothing before it."""
    assert prepare((Element("a/"), Element("b/")), {}).wants_folder
    pattern = prepare((Element("a/"), Element("b")), {})
    assert not pattern.wants_folder
    assert [segment.start for step in pattern.steps for segment in step.segments] == ["a", "b"]


@pytest.mark.parametrize(
    ("match", "problem"),
    [
        ("(", "no regular expression of RE2's dialect: missing )"),
        ("(?=a)", "no regular expression"),
        ("(a/b)", "group that spans a '/'"),
        ("(?:a/b)", "group that spans a '/'"),
        ("(?P<key>a)", "named like the field 'key'"),
        ("(?P<a>x)/(?P<a>y)", "two groups 'a'"),
        ("a//b", "an empty segment"),
        ("/a", "begins with '/'"),
        ("", "is empty"),
        (r"a\Qb\E", r"has \Q"),
        ("\ud800", "no UTF-8 form"),
        ("a" * (MATCH_LENGTH_MAX + 1), f"{MATCH_LENGTH_MAX} is the most"),
    ],
)
def test_a_wrong_regex_is_told_when_a_program_is_loaded(match, problem):
    """What is wrong with a regex is said in words, without running anything."""
    assert problem in pattern_problem(match)
    assert [what for _, what in prefix_problems((Element(match, "regex"),))] == [pattern_problem(match)]


@pytest.mark.parametrize(
    "match", ["{a}_{b.c[0]}", r"{run_time:%Y/%m/%d}", r"x{2}\p{Greek}", "{{", "{", "[{a}]"]
)
def test_references_in_a_regex_are_no_problem_of_the_pattern(match):
    """References stand for any text; braces that are none are told by who reads references."""
    assert pattern_problem(match) is None
    assert prefix_problems((Element(match, "regex"),)) == []


@pytest.mark.parametrize(
    ("match", "problem"),
    [
        ("", "is empty"),
        ("/a", "begins with '/'"),
        ("a/../b", "goes through '..'"),
        ("./a", "goes through '.'"),
    ],
)
def test_a_wrong_exact_match_is_told_when_a_program_is_loaded(match, problem):
    """An exact match may not leave its bucket, nor be empty."""
    assert problem in exact_problem(match)


@pytest.mark.parametrize(
    ("prefix", "problem"),
    [
        ([], (0, "is missing")),
        ([Element("a", "glob")], (0, "the type 'glob'; it is exact or regex")),
        ([Element("a", "exact", "best")], (0, "multiple 'best'; it is one of")),
        ([Element("a", "regex", "all"), Element("b")], (0, "which only the last element can have")),
        ([Element("a"), Element("b/", "regex", "newest")], (1, "a folder has no modification time")),
        (
            [Element("(?P<x>a)", "regex"), Element("(?P<x>b)", "regex")],
            (1, "has a group 'x', as element 0 has"),
        ),
    ],
)
def test_a_wrong_element_is_told_with_its_position(prefix, problem):
    """Each mistake of a prefix names the element that has it."""
    [(position, what)] = prefix_problems(prefix)
    assert position == problem[0]
    assert problem[1] in what


def test_a_wrong_prefix_is_not_followed():
    """A prefix with a mistake, or with groups that a value makes the same, is refused."""
    with pytest.raises(PatternError, match="element 0 of the prefix has the type 'glob'"):
        prepare((Element("a", "glob"),), {})
    with pytest.raises(PatternError, match="goes through"):
        prepare((Element("{a}"),), {"a": ".."})


def test_choices_are_allowed_where_they_make_sense():
    """Before the last element min and max choose; on it all five do."""
    for choice in ("min", "max"):
        assert prefix_problems([Element("a", "regex", choice), Element("b")]) == []
    for choice in ("min", "max", "newest", "oldest", "all"):
        assert prefix_problems([Element("a"), Element("b", "regex", choice)]) == []


@given(st.integers(0, 10**30), st.integers(0, 10**30), st.text("ab_-", max_size=4))
def test_runs_of_digits_compare_as_numbers(one, other, before):
    """However long numbers are and whatever stands before them, the smaller one comes first."""
    assert (natural(f"{before}{one}") < natural(f"{before}{other}")) == (one < other)


@given(st.lists(st.text("a0 9é", max_size=5), max_size=5))
def test_any_texts_can_be_compared(texts):
    """Texts with and without digits have one order."""
    assert len(sorted(texts, key=natural)) == len(texts)
