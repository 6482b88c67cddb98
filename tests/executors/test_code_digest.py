"""A function's code digest changes when its source does, and with nothing else of its module."""

from __future__ import annotations

import sys
from hashlib import sha256
from pathlib import Path

import pytest

from clew.executors.code_digest import SOURCE_SIZE_MAX, code_digest

SOURCE = """\
import os
from json import dumps as as_text

@staticmethod
def book(city):
    return city

class Hotel:
    @property
    def room(self):
        return 1

if os.name == "posix":
    def pay(): return 1
else:
    def pay(): return 2

try:
    import fast
except ImportError:
    def fast(): return 3

def twice(): return 1
def twice(): return 2

FIRST, (second, *third) = [1, [2, 3]]
price: int = 4
"""


def digest_of(text: str) -> str:
    return sha256(b"clew/code/v1\n" + text.encode()).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "travel").mkdir()
    (tmp_path / "travel" / "__init__.py").write_text("")
    (tmp_path / "travel" / "trip.py").write_text(SOURCE)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("book", "@staticmethod\ndef book(city):\n    return city\n"),
        ("Hotel.room", "    @property\n    def room(self):\n        return 1\n"),
        ("pay", "    def pay(): return 2\n"),
        ("fast", "    def fast(): return 3\n"),
        ("twice", "def twice(): return 2\n"),
        ("as_text", SOURCE),
        ("second", SOURCE),
        ("third", SOURCE),
        ("price", SOURCE),
    ],
)
def test_the_digest_is_of_the_lines_that_define_it(folder: Path, name: str, source: str) -> None:
    """Decorators belong to a function; where it is bound twice the last counts; of what its module imports or
    computes the whole module is the source."""
    assert code_digest(f"travel.trip:{name}", str(folder)) == digest_of(source)


def test_a_changed_file_has_a_new_digest(folder: Path) -> None:
    """What is known of a file is known of that content only; code elsewhere in it does not matter."""
    before = code_digest("travel.trip:book", str(folder))
    (folder / "travel" / "trip.py").write_text("# a comment\n\n" + SOURCE)
    assert code_digest("travel.trip:book", str(folder)) == before
    (folder / "travel" / "trip.py").write_text(SOURCE.replace("return city", "return city.upper()"))
    assert code_digest("travel.trip:book", str(folder)) != before


def test_nothing_is_run(folder: Path) -> None:
    """The module is read, not imported."""
    (folder / "loud.py").write_text("raise SystemExit\ndef one(): pass\n")
    assert code_digest("loud:one", str(folder)) == digest_of("def one(): pass\n")
    assert "loud" not in sys.modules


@pytest.mark.parametrize("reference", ["sys:exit", "math:sin", "_socket:socket"])
def test_what_has_no_source_has_no_digest(folder: Path, reference: str) -> None:
    """Modules built in or compiled have no source to digest."""
    assert code_digest(reference, str(folder)) is None


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("nowhere:book", "there is no module 'nowhere'"),
        ("travel.nowhere:book", "there is no module 'travel.nowhere'"),
        ("travel.trip:fly", "defines no 'fly'"),
        ("travel.trip:Hotel.bed", "defines no 'Hotel.bed'"),
        ("broken:book", "can't be read as Python"),
        ("huge:book", f"of more than {SOURCE_SIZE_MAX} is not read"),
    ],
)
def test_what_is_not_there_is_said(folder: Path, reference: str, words: str) -> None:
    """A module or function that can't be found, or source that can't be read, is a LookupError in words."""
    (folder / "broken.py").write_text("def (:\n")
    with (folder / "huge.py").open("wb") as file:
        file.truncate(SOURCE_SIZE_MAX + 1)
    with pytest.raises(LookupError, match=words):
        code_digest(reference, str(folder))
