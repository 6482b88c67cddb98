"""What a rehearsal's stages are told when they look for data: files of the copies; of the rest what reads alone.

What other runs have left is read from the real store, which is not written. Addresses lead to the servers that stand
in for them. Plug-ins are not run, since they may reach anything: what they would give is declared.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from msgspec.structs import replace

from clew.buckets import open_bucket
from clew.buckets.rounds import look_together
from clew.commands.doubles import doubled_address
from clew.commands.interface import CommandError
from clew.ports import Doubles, Look, Looked, NotTold, SearchAnswer, Searcher, SearchRequest
from clew.rehearsing.scratch import ScratchWorld
from clew.wiring.asking import Asking, Surroundings


def searcher_in(world: ScratchWorld) -> Searcher:
    """A `ports.Searcher` for that world. Of dependencies that are no files, those that the rehearsal file gives under
    [inputs] are what it says."""
    around = Surroundings(
        settings=world.ground.settings,
        look=_nobody,
        lead=partial(_led, doubles=world.doubles),
    )

    def search(requests: Sequence[SearchRequest]) -> Sequence[SearchAnswer]:
        given = [_given(request, world) for request in requests]
        wanted = [
            replace(
                request,
                dependencies=[one for one in request.dependencies if one.name not in known],
                scope={**request.scope, **known},
            )
            for request, known in zip(requests, given, strict=True)
        ]
        with Asking(around) as ask:
            answers = look_together(wanted, open_bucket, ask=ask)
        return [
            replace(answer, found={**known, **answer.found}) if answer.found is not None else answer
            for answer, known in zip(answers, given, strict=True)
        ]

    return search


def _given(request: SearchRequest, world: ScratchWorld) -> dict[str, object]:
    inputs = world.ground.declared.inputs
    return {one.name: inputs[one.name] for one in request.dependencies if one.name in inputs}


def _nobody(asked: Look) -> Looked:
    raise NotTold(f"'{asked.kind}' is a plug-in, and a rehearsal runs none")


def _led(address: str, *, doubles: Doubles) -> str:
    try:
        return doubled_address(address, doubles)
    except CommandError as error:
        raise NotTold(error.message) from error
