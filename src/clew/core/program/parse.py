"""From a document to a program, or to every one of its problems at once.

A document is read in three steps, none of which stops at a mistake: its parts by their shapes (`grammar.py`),
the model from the parts (`building.py`), the rules of names and order on the model (`needs.py`, `plan.py`).
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from clew.core.planning.plan import order_problems
from clew.core.program.bounds import bounds_problems
from clew.core.program.building import Building
from clew.core.program.grammar import program_record
from clew.core.program.model import Json, Program
from clew.core.program.needs import survey
from clew.core.program.problems import Path, Place, Problem, ProgramError
from clew.core.program.shapes import UNREADABLE, Found
from clew.core.program.signatures import Signatures


def no_place(_: Path) -> Place | None:
    """For documents that came from no text."""
    return None


def any_zone(_: str) -> bool:
    """For readers that can't look up time zones: every well-formed name may be one."""
    return True


def any_kind(_: str) -> bool:
    """For readers that can't look up plug-ins: every well-formed name of a dependency's kind may be one."""
    return True


def parse(
    document: Json,
    signatures: Signatures,
    conditions: Signatures,
    *,
    place_of: Callable[[Path], Place | None] = no_place,
    known_zone: Callable[[str], bool] = any_zone,
    known_kind: Callable[[str], bool] = any_kind,
) -> Program:
    """The program that the document describes.

    `signatures` and `conditions` are the commands and conditions that there are. Raises ProgramError with
    every problem, in the order of the text where places are known.
    """
    problems, is_readable = bounds_problems(document)
    if not is_readable:
        raise ProgramError(_placed(problems, place_of))
    found = Found()
    parts = program_record(signatures, conditions).read(document, (), found)
    if parts is UNREADABLE:
        raise ProgramError(_placed(found.problems, place_of))
    building = Building(found, signatures, conditions, known_zone=known_zone, known_kind=known_kind)
    program = building.program(parts)
    problems += found.problems
    problems += _problems_of_names(program, building, signatures, conditions)
    if problems:
        raise ProgramError(_placed(problems, place_of))
    return program


def _problems_of_names(
    program: Program, building: Building, signatures: Signatures, conditions: Signatures
) -> list[Problem]:
    surveyed = survey(program, signatures, conditions, names_are_complete=building.found.names_are_complete)
    problems = [*surveyed.problems, *order_problems(program, surveyed)]
    return [replace(problem, path=building.author_path(problem.path)) for problem in problems]


def _placed(problems: list[Problem], place_of: Callable[[Path], Place | None]) -> list[Problem]:
    """The problems with their places, in the order of the text; one said twice of one place is one."""
    placed = [replace(problem, place=_nearest_place(problem.path, place_of)) for problem in problems]
    unique = list(dict.fromkeys(placed))
    return sorted(unique, key=lambda one: (one.place.line, one.place.column) if one.place else (0, 0))


def _nearest_place(path: Path, place_of: Callable[[Path], Place | None]) -> Place | None:
    """The place of what the path leads to, or of the nearest thing around it."""
    for length in range(len(path), -1, -1):
        place = place_of(path[:length])
        if place is not None:
            return place
    return None
