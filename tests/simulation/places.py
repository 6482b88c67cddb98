"""Objects outside that stages overwrite: kept before by the real keeper, put back by the real command, and now and then
changed by somebody else in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

import msgspec
from tests.simulation.odds import Odds

from clew.buckets import keeping
from clew.buckets.memory import MemoryBucket
from clew.commands.interface import CommandContext, CommandError
from clew.commands.restoring import restore_files
from clew.core.planning.locations import split_location
from clew.ports import AttemptRequest, Bucket, BucketError

COPIES_URL = "memory:copies"
BLIND_LOOKS = 3
"""So many looks in a row come to nothing, when one does: then nobody knows how an attempt left its object."""


class Places:
    """The objects, each in its place, and what must become of each."""

    def __init__(self, odds: Odds, seed: int) -> None:
        self._odds, self._seed = odds, seed
        self._chance = Random(f"{seed}/places")
        self._objects, self._copies = MemoryBucket("memory:data"), MemoryBucket(COPIES_URL)
        self._known: set[str] = set()
        self._before: dict[str, tuple[str, bytes | None]] = {}
        """By idempotency key, the place, and what stood there before a pass first changed it."""
        self._of_somebody: dict[str, bytes] = {}
        self.restoring: set[tuple[str, str]] = set()
        """The stages, by program and name, that have an object put back."""
        self.check: Callable[[bool, str], None] = lambda holds, what: None

    def open(self, name: str) -> Bucket:
        return self._copies if name == COPIES_URL else self._objects

    def _content(self, key: str) -> bytes | None:
        return self._objects.read(key, 2**20) if self._objects.facts(key) is not None else None

    def _put(self, key: str, content: bytes | None) -> None:
        if content is None:
            self._objects.delete(key)
        else:
            self._objects.write(key, content)

    # ---- what the orchestrator does ----

    def keep(self, places: Sequence[str], folder: str) -> list[Mapping[str, Any]]:
        for _, key in map(split_location, places):
            if key not in self._known:
                self._known.add(key)
                self._put(key, b"as ever" if self._chance.random() < 0.6 else None)
        if self._odds.strike("nothing can be kept", 0.25):
            raise BucketError("pretended")
        found = keeping.keep(places, self.open, self._copies, folder)
        return [msgspec.to_builtins(each) for each in found]

    def look(self, places: Sequence[str]) -> Mapping[str, str | None]:
        return keeping.look(places, self.open)

    # ---- what stages do ----

    def overwrite(self, request: AttemptRequest) -> None:
        """An attempt of the stage acts: it writes its object, or deletes it."""
        if (request.program, request.stage) not in self.restoring:
            return
        key = place_of(request)
        self._before.setdefault(request.idempotency_key, (key, self._content(key)))
        self._put(key, request.attempt_id.encode() if self._chance.random() < 0.8 else None)

    def put_back(self, request: AttemptRequest) -> CommandError | None:
        """The stage's rollback acts: by the real command, whose error is given back."""
        if not request.kept:
            return None
        key = place_of(request)
        now = self._content(key)
        context = CommandContext(
            program=request.program, run_id=request.run_id, stage=request.stage, attempt=request.attempt,
            idempotency_key=request.idempotency_key, bucket=self.open, work_folder="", kept=request.kept,
            left=request.left, kept_bucket=request.kept_bucket,
        )  # fmt: skip
        try:
            restore_files(context, {})
        except CommandError as error:
            self.check(self._content(key) == now, f"{request.attempt_id} failed, and changed {key}")
            self._odds.note("changed since")
            return error
        _, before = self._before.get(request.idempotency_key, (key, now))
        self.check(self._content(key) == before, f"{request.attempt_id} did not put {key} back")
        is_of_somebody = now is not None and now == self._of_somebody.get(key)
        self.check(not is_of_somebody or now == before, f"{request.attempt_id} overwrote somebody's {key}")
        return None

    # ---- what somebody else does ----

    def change(self, request: AttemptRequest) -> None:
        """Somebody writes into the place before the rollback comes to it."""
        if request.kept and self._odds.strike("somebody changed an object", 0.15):
            key = place_of(request)
            content = f"somebody's {self._chance.getrandbits(32):08x}".encode()
            self._of_somebody[key] = content
            self._put(key, content)

    def mend(self, idempotency_key: str | None) -> None:
        """A person puts the object right by hand."""
        key, content = self._before.get(idempotency_key or "", ("", None))
        if key:
            self._put(key, content)


def place_of(request: AttemptRequest) -> str:
    """The key of the object that belongs to the stage of that run, or to its item."""
    place = f"{request.run_id}/{request.stage}"
    return f"{place}/{request.scope['index']}" if "index" in request.scope else place


class PretendKeeper:
    """One orchestrator's way to the objects, with its bad moments."""

    url = COPIES_URL

    def __init__(self, places: Places, odds: Odds) -> None:
        self._places, self._odds = places, odds
        self._blind = 0

    def keep(
        self, places: Sequence[str], folder: str, buckets: Mapping[str, str]
    ) -> Sequence[Mapping[str, Any]]:
        return self._places.keep(places, folder)

    def look(self, places: Sequence[str], buckets: Mapping[str, str]) -> Mapping[str, str | None]:
        if not self._blind and self._odds.strike("nobody saw how it was left", 0.05):
            self._blind = BLIND_LOOKS
        if self._blind:
            self._blind -= 1
            raise BucketError("pretended")
        return self._places.look(places)
