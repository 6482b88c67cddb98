"""`file_exists`: what a pattern describes is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clew.conditions.interface import ConditionContext, finding
from clew.core.planning.search import Ambiguous, Missing, Search
from clew.core.program.model import Dependency, Element
from clew.core.program.preparing import ParamsError
from clew.ports import Finding, Json

_NAME = "file_exists"


def file_exists(context: ConditionContext, params: Mapping[str, Json]) -> Finding:
    """Held when anything matches: a condition, other than a dependency, need not say which of several."""
    bucket = params["bucket"]
    if not isinstance(bucket, str):
        raise ParamsError("the bucket is a name or a URL")
    wanted = Dependency(_NAME, bucket, elements(params["prefix"]))
    outcome = context.search(Search([wanted], context.scope))
    if isinstance(outcome, Missing):
        return finding(_NAME, holds=False, message=outcome.how_near, compared={"bucket": bucket})
    if isinstance(outcome, Ambiguous):
        return finding(_NAME, holds=True, message="", compared={"keys": list(outcome.keys)})
    return finding(_NAME, holds=True, message="", compared={"found": _keys(outcome.values[_NAME])})


def _keys(located: Json) -> list[Json]:
    return [one["key"] for one in (located if isinstance(located, list) else [located])]


def elements(prefix: Json) -> tuple[Element, ...]:
    """The elements of a prefix as a program states it: a list of {match, type, multiple}, or of texts.

    Raises ParamsError; what the elements say is checked by the search.
    """
    if not isinstance(prefix, Sequence) or isinstance(prefix, str):
        raise ParamsError("the prefix is a list of elements {match, type, multiple}")
    return tuple(_element(one) for one in prefix)


def _element(stated: Json) -> Element:
    if isinstance(stated, str):
        return Element(stated)
    if not isinstance(stated, Mapping) or not isinstance(stated.get("match"), str):
        raise ParamsError("an element of the prefix is a mapping with `match`, a text")
    unknown = sorted(stated.keys() - {"match", "type", "multiple"})
    if unknown:
        raise ParamsError(f"an element of the prefix has match, type and multiple, not '{unknown[0]}'")
    return Element(stated["match"], stated.get("type", "exact"), stated.get("multiple"))
