"""What a program's file dependencies would match now, told without a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from clew.core.planning.locations import location_url
from clew.core.planning.patterns import FIELDS
from clew.core.planning.search import references_of
from clew.core.program.model import Dependency, Json
from clew.core.running.sealed_program import SealedProgram
from clew.ports import SearchAnswer, SearchRequest

Document = dict[str, Any]
Look = Callable[[Sequence[SearchRequest]], Sequence[SearchAnswer]]
"""Looks for what each request wants, and probes where there is nothing."""


def matches_now(
    sealed: SealedProgram, scope: Mapping[str, Json], buckets: Mapping[str, str], look: Look
) -> list[Document]:
    """For each file dependency, in the order of blocks: its stage and name; the URL that matches (a list where all
    are wanted, None where nothing does), what its named groups captured, the first candidates, what was listed,
    and why. `error` is there when a bucket could not answer, or the pattern can't be followed.

    `scope`: the values of names, as far as they are known before a run. What one dependency finds is known to the
    others; what only a stage can give is not, and whoever refers to it has no match yet.
    """
    left = [
        (stage.stage.name, one)
        for block in sealed.blocks
        for stage in block
        for one in stage.stage.file_dependencies
    ]
    known, found = dict(scope), dict[str, Document]()
    while ready := [(stage, one) for stage, one in left if references_of(one) <= known.keys()]:
        left = [(stage, one) for stage, one in left if not references_of(one) <= known.keys()]
        answers = look([SearchRequest((one,), known, buckets) for _, one in ready])
        for (stage, one), answer in zip(ready, answers, strict=True):
            found[one.name] = _document(stage, one, answer)
            known.update(answer.found or {})
    for stage, one in left:
        needs = sorted(references_of(one) - known.keys())
        told = ", ".join(_told(name, sealed, is_looked_for=name in found) for name in needs)
        found[one.name] = _not_known(stage, one, told)
    return [
        found[one.name] for block in sealed.blocks for stage in block for one in stage.stage.file_dependencies
    ]


def _document(stage: str, dependency: Dependency, answer: SearchAnswer) -> Document:
    evidence = answer.evidence.get(dependency.name, {})
    value = None if answer.found is None else answer.found[dependency.name]
    several = isinstance(value, list)
    each = value if isinstance(value, list) else [] if value is None else [value]
    urls, captures = [one["url"] for one in each], [_captures(one) for one in each]
    bucket_url = answer.listed[0].bucket_url if answer.listed else ""
    document = {
        "stage": stage,
        "name": dependency.name,
        "match": urls if several else urls[0] if urls else None,
        "captures": captures if several else captures[0] if captures else {},
        "matched": evidence.get("matched", 0),
        "candidates": [location_url(bucket_url, key) for key in evidence.get("candidates", ())],
        "listings": evidence.get("listings", []),
        "why": evidence.get("why") or answer.message,
    }
    if answer.verdict == "error" or (answer.verdict == "ambiguous" and not evidence):
        document["error"] = answer.message
    return document


def _captures(value: Mapping[str, Json]) -> dict[str, Json]:
    return {name: text for name, text in value.items() if name not in FIELDS}


def _not_known(stage: str, dependency: Dependency, needs: str) -> Document:
    answer = SearchAnswer("missing", None, f"it refers to {needs}")
    return _document(stage, dependency, answer)


def _told(name: str, sealed: SealedProgram, *, is_looked_for: bool) -> str:
    if is_looked_for:
        return f"'{name}', which has no match"
    for stage in sealed.program.stages:
        if name in {one.name for one in (*stage.outputs, *stage.dependencies)}:
            return f"'{name}', which the stage '{stage.name}' gives"
    if name in sealed.program.requests:
        return f"'{name}', which a request must give"
    return f"'{name}', which only a run has"
