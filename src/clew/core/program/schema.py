"""The published JSON Schema of program files, by which editors complete and check them."""

from __future__ import annotations

from clew.core.program.grammar import definitions, program_record
from clew.core.program.model import Json
from clew.core.program.signatures import Signatures


def json_schema(signatures: Signatures, conditions: Signatures) -> dict[str, Json]:
    """The schema (draft 2020-12) of program documents over these commands and conditions.

    It says what a document looks like. What names refer to, and what order follows, only `parse` can say.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A program of clew",
        **program_record(signatures, conditions).schema(),
        "$defs": definitions(signatures, conditions),
    }
