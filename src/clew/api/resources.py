"""All that can be called, resource by resource."""

from __future__ import annotations

from collections.abc import Sequence

from clew.api.calls import Endpoint, Endpoints
from clew.api.events import events
from clew.api.evidence import evidence
from clew.api.health import health
from clew.api.metrics import metrics
from clew.api.openapi import described
from clew.api.programs import programs
from clew.api.runs import runs
from clew.api.telling import telling
from clew.api.tokens import tokens

ALL: Sequence[Endpoints] = (programs, runs, events, telling, evidence, tokens, health, metrics, described)


def all_endpoints() -> list[Endpoint]:
    """In the order in which they are declared."""
    return [one for each in ALL for one in each.all]
