"""Path patterns: what a dependency's elements mean, segment by segment, and what a match is worth.

A path is cut at each `/` into segments. An `exact` element equals its segments. A `regex` element (RE2's
dialect, which can't hang) is cut at each `/` outside brackets and groups, and each piece matches its segment
from the segment's start. This module wraps the regex library; nothing else of core knows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import msgspec

from clew.core.program.model import Element, Json
from clew.core.program.signatures import REGEX, TEXT
from clew.core.program.templates import TemplateError, pieces_of
from clew.core.program.variables import render

FIELDS = ("url", "bucket", "key", "name", "size", "etag", "modified", "matched")
"""The fields of a located value, which no group may be named like."""

MATCH_LENGTH_MAX = 4_096
"""Of one `match`, in characters: four times the longest key that the large object stores take."""

PATTERNS_KEPT_MAX = 128
"""Texts whose segments are kept, and prefixes that are known to be right: making them was most of a search that many
runs make alike. An expression takes some kilobytes, and never more than RE2 allows it, eight megabytes."""

EXACT = "exact"
REGULAR = "regex"
CHOICES = ("min", "max", "newest", "oldest", "all")
_CHOICES_BEFORE_THE_LAST = ("min", "max")

_FLAGS = re.compile(r"\(\?[a-zA-Z]*-?[a-zA-Z]*\)")
_GROUP_START = re.compile(r"\((?:\?(?:P?<[^>]*>|[a-zA-Z-]*:))?")
_REPETITION = re.compile(r"(?:[*+?]|\{(\d+)(?:,\d*)?\})\??")
_BRACED_ESCAPE = re.compile(r"\\[pPx](?:\{[^}]*\}|.)?")
_BRACKETS = re.compile(r"\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\]?", re.DOTALL)
_DIGITS = re.compile(r"([0-9]+)")


class PatternError(Exception):
    """A path pattern that can't be followed; the message says what is wrong and what would be right."""


class Segment(msgspec.Struct, frozen=True):
    """What one segment of a path must be; `start` is how each name that fits begins.

    Without a `regex` the segment is exactly `start`.
    """

    text: str
    start: str
    regex: Any = None

    def fit(self, name: str) -> Fit | None:
        """What of the name fits, or None."""
        if self.regex is None:
            return Fit(name, (), {}) if name == self.start else None
        found = self.regex.match(name)
        return Fit(found.group(0), found.groups(), found.groupdict()) if found else None


class Fit(msgspec.Struct, frozen=True):
    """The text that fits a segment or an element, and what its groups captured: all, and the named."""

    text: str
    groups: tuple[str | None, ...]
    named: Mapping[str, str | None]

    def then(self, other: Fit) -> Fit:
        """This segment's fit and the next one's, as one."""
        return Fit(f"{self.text}/{other.text}", self.groups + other.groups, {**self.named, **other.named})

    @property
    def score(self) -> tuple[Any, ...]:
        """What the groups captured, or else the text; comparable among the fits of one element."""
        return tuple(natural(text or "") for text in self.groups or (self.text,))


class Step(msgspec.Struct, frozen=True):
    """One element, ready to be followed."""

    segments: tuple[Segment, ...]
    multiple: str | None


class Pattern(msgspec.Struct, frozen=True):
    """A whole prefix, ready to be followed; `wants_folder` when its last element ends in `/`."""

    steps: tuple[Step, ...]
    wants_folder: bool


def natural(text: str) -> tuple[Any, ...]:
    """A key under which runs of digits compare as the numbers that they are, however long."""
    # Splitting by a group leaves text and digits in turn, so that two keys never compare text with a number.
    parts = _DIGITS.split(text)
    return tuple(
        (len(part.lstrip("0")), part.lstrip("0")) if index % 2 else part for index, part in enumerate(parts)
    )


def prepare(prefix: Sequence[Element], scope: Mapping[str, Json]) -> Pattern:
    """The prefix with its references filled in. Raises PatternError, and what rendering raises."""
    found = _first_problem(tuple(prefix))
    if found is not None:
        position, what = found
        raise PatternError(f"element {position} of the prefix {what}")
    texts = [_filled(element, scope) for element in prefix]
    steps = tuple(
        Step(_segments(_unmarked(text), element.kind), element.multiple)
        for text, element in zip(texts, prefix, strict=True)
    )
    _refuse_repeated_groups(segment for step in steps for segment in step.segments)
    return Pattern(steps, wants_folder=texts[-1].endswith("/"))


@lru_cache(maxsize=PATTERNS_KEPT_MAX)
def _first_problem(prefix: tuple[Element, ...]) -> tuple[int, str] | None:
    return next(iter(prefix_problems(prefix)), None)


def _unmarked(text: str) -> str:
    """Without the `/` at the end, which says on the last element that a folder is wanted."""
    # A variable's `/` comes escaped into a regular expression.
    return text.removesuffix("/").removesuffix("\\") if text.endswith("\\/") else text.removesuffix("/")


def _filled(element: Element, scope: Mapping[str, Json]) -> str:
    value = render(element.match, scope, REGEX if element.kind == REGULAR else TEXT)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise PatternError(f"'{element.match}' is {type(value).__name__} here; a match is a text")
    return value


# ---- checks, before anything runs ------------------------------------------------------------------------


def prefix_problems(prefix: Sequence[Element]) -> list[tuple[int, str]]:
    """Every mistake of a prefix as a program states it: the element's position from 0, and what is wrong."""
    if not prefix:
        return [(0, "is missing: a prefix needs at least one")]
    found = []
    named: dict[str, int] = {}
    for position, element in enumerate(prefix):
        is_last = position == len(prefix) - 1
        found += [(position, what) for what in _element_problems(element, is_last=is_last)]
        for name in _group_names(element):
            if name in named:
                found.append((position, f"has a group '{name}', as element {named[name]} has; rename one"))
            named[name] = position
    return found


def _element_problems(element: Element, *, is_last: bool) -> Iterator[str]:
    if element.kind not in (EXACT, REGULAR):
        yield f"has the type '{element.kind}'; it is exact or regex"
        return
    problem = pattern_problem(element.match) if element.kind == REGULAR else exact_problem(element.match)
    if problem:
        yield problem
    if element.multiple is None:
        return
    if element.multiple not in CHOICES:
        yield f"has multiple '{element.multiple}'; it is one of {', '.join(CHOICES)}"
    elif not is_last and element.multiple not in _CHOICES_BEFORE_THE_LAST:
        yield f"has multiple '{element.multiple}', which only the last element can have; use min or max"
    elif element.multiple in ("newest", "oldest") and element.match.endswith("/"):
        yield f"has multiple '{element.multiple}', but a folder has no modification time; use min or max"


def exact_problem(match: str) -> str | None:
    """What is wrong with an exact match, or None; references in it stand for any text."""
    return _problem(match, EXACT)


def pattern_problem(match: str) -> str | None:
    """What is wrong with a regular expression of a prefix, or None; references in it stand for any text.

    Braces that are no reference are not told here: who reads the references does.
    """
    return _problem(match, REGULAR)


def _problem(match: str, kind: str) -> str | None:
    try:
        _refuse_repeated_groups(_segments_as_stated(match, kind))
    except TemplateError:
        return None
    except PatternError as error:
        return str(error)
    return None


def _segments_as_stated(match: str, kind: str) -> tuple[Segment, ...]:
    """The segments with an `x` for each reference, since a value comes escaped, as text like any other."""
    pieces = pieces_of(match, REGEX if kind == REGULAR else TEXT)
    return _segments(_unmarked("".join(piece if isinstance(piece, str) else "x" for piece in pieces)), kind)


def _group_names(element: Element) -> list[str]:
    if element.kind != REGULAR or pattern_problem(element.match):
        return []
    try:
        segments = _segments_as_stated(element.match, REGULAR)
    except TemplateError:
        return []
    return [name for segment in segments if segment.regex for name in segment.regex.groupindex]


# ---- from a text to its segments -------------------------------------------------------------------------


@lru_cache(maxsize=PATTERNS_KEPT_MAX)
def _segments(text: str, kind: str) -> tuple[Segment, ...]:
    if len(text) > MATCH_LENGTH_MAX:
        raise PatternError(f"is {len(text)} characters long; {MATCH_LENGTH_MAX} is the most")
    if not text:
        raise PatternError("is empty: name at least one segment")
    if text.startswith("/"):
        raise PatternError("begins with '/', and no key does; leave it out")
    if kind == EXACT:
        return tuple(_exact_segment(part) for part in text.split("/"))
    compile_regex(text)
    return tuple(_regex_segment(part) for part in _split(text))


def _exact_segment(text: str) -> Segment:
    if text in (".", ".."):
        raise PatternError(f"goes through '{text}', and keys don't")
    return Segment(text, text)


def _regex_segment(text: str) -> Segment:
    if not text:
        raise PatternError("has an empty segment, and no name is empty; write one '/'")
    start, is_all = _literal_start(text)
    return Segment(text, start) if is_all else Segment(text, start, compile_regex(text))


def _refuse_repeated_groups(segments: Iterable[Segment]) -> None:
    seen: set[str] = set()
    for segment in segments:
        for name in segment.regex.groupindex if segment.regex else ():
            if name in FIELDS:
                raise PatternError(f"has a group named like the field '{name}'; rename it")
            if name in seen:
                raise PatternError(f"has two groups '{name}'; rename one")
            seen.add(name)


def compile_regex(text: str) -> Any:
    """The compiled expression, of the library that takes linear time. Raises PatternError."""
    # 23 ms to import, and most programs have no regex: so only here.
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options=options)
    except re2.error as error:
        raise PatternError(f"is no regular expression of RE2's dialect: {_message(error)}") from error
    except UnicodeEncodeError as error:
        raise PatternError("holds a character that has no UTF-8 form") from error


def _message(error: Exception) -> str:
    # The library's messages are bytes.
    first = error.args[0]
    return first.decode("utf-8", "replace") if isinstance(first, bytes) else str(first)


def _split(text: str) -> list[str]:
    """The text cut at each `/` outside brackets and groups; flags such as `(?i)` go on into what follows."""
    parts, flags, part, depth = [], "", "", 0
    for kind, token in _tokens(text):
        if kind == "slash":
            if depth:
                raise PatternError("has a group that spans a '/'; end it before, and begin another after")
            parts.append(part)
            part = flags
            continue
        depth += {"open": 1, "close": -1}.get(kind, 0)
        flags += token if kind == "flags" and not depth else ""
        part += token
    return [*parts, part]


def _literal_start(text: str) -> tuple[str, bool]:
    """How each name that fits begins, and whether that, bound by `$`, is the whole of it."""
    tokens = list(_tokens(text))
    if _has_alternatives(tokens) or _has_repeated_flags(tokens):
        return "", False
    if tokens[0] == ("anchor", "^"):
        del tokens[0]
    start: list[str] = []
    for position, (kind, token) in enumerate(tokens):
        if kind == "repetition" and start and _may_be_absent(token):
            start.pop()
        if kind != "literal":
            is_all = token == "$" and position == len(tokens) - 1 and bool(start)
            return "".join(start), is_all
        start.append(token[-1])
    return "".join(start), False


def _has_alternatives(tokens: list[tuple[str, str]]) -> bool:
    depth = 0
    for kind, _ in tokens:
        depth += {"open": 1, "close": -1}.get(kind, 0)
        if kind == "alternative" and not depth:
            return True
    return False


def _has_repeated_flags(tokens: list[tuple[str, str]]) -> bool:
    """A repetition behind flags is one of what is before them: `a(?i)*` may be nothing."""
    kinds = [kind for kind, _ in tokens]
    return ("flags", "repetition") in pairwise(kinds)


def _may_be_absent(repetition: str) -> bool:
    least = _REPETITION.match(repetition)
    return repetition[0] in "*?" or (least is not None and least[1] is not None and int(least[1]) == 0)


_SINGLE = {"|": "alternative", ")": "close", "/": "slash", "^": "anchor", "$": "anchor", ".": "special"}


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    """The text's tokens as (kind, token); only as fine as cutting and literal starts need them."""
    position = 0
    while position < len(text):
        kind, token = _token(text, position)
        yield kind, token
        position += len(token)


def _token(text: str, position: int) -> tuple[str, str]:
    character = text[position]
    if character == "\\":
        return _escape(text, position)
    if character == "[":
        return "brackets", _matched(_BRACKETS, text, position)
    if character == "(":
        flags = _FLAGS.match(text, position)
        return ("flags", flags[0]) if flags else ("open", _matched(_GROUP_START, text, position))
    repetition = _REPETITION.match(text, position)
    if repetition:
        return "repetition", repetition[0]
    return _SINGLE.get(character, "literal"), character


def _escape(text: str, position: int) -> tuple[str, str]:
    following = text[position + 1 : position + 2]
    if following == "/":
        return "slash", r"\/"
    if following in ("Q", "E"):
        raise PatternError(rf"has \{following}, which isn't available here; write \ before each character")
    if following in ("p", "P", "x"):
        return "special", _matched(_BRACED_ESCAPE, text, position)
    return ("special" if following.isalnum() else "literal"), text[position : position + 2]


def _matched(expression: re.Pattern[str], text: str, position: int) -> str:
    found = expression.match(text, position)
    assert found is not None, "the caller has looked at the first character"
    return found[0]
