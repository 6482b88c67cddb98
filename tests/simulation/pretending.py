"""The ports of one orchestrator's life: its ends of what runs outside, each with its bad moments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tests.simulation.odds import Odds
from tests.simulation.outside import Ended, Outside
from tests.simulation.timeline import Crash, Life

from clew.buckets.memory import MemoryBucket
from clew.ports import AttemptRequest, BucketError, ObjectFacts, SearchAnswer, SearchRequest


class PretendExecutor:
    """The executor of one orchestrator's life: its end of what runs outside."""

    def __init__(self, outside: Outside, life: Life) -> None:
        self._outside, self._life = outside, life

    def submit(self, request: AttemptRequest, ended: Ended) -> None:
        self._outside.begin(request, ended, self._life)

    recovers = False

    def recover(self, request: AttemptRequest, ended: Ended) -> None:
        raise NotImplementedError("what runs here ends with its orchestrator")

    def submit_all(self, requests: Sequence[tuple[AttemptRequest, Ended]]) -> None:
        for request, ended in requests:
            if self._outside.odds.strike("crash while submitting", 0.003):
                raise Crash
            self._outside.begin(request, ended, self._life)

    def cancel(self, attempt_id: str) -> None:
        self._outside.cancel(attempt_id, self._life)

    async def close(self) -> None:
        self._outside.kill_all_of(self._life)


class PretendSearcher:
    """Data that comes late, buckets that don't answer, names that can't be told apart."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside

    def __call__(self, requests: Sequence[SearchRequest]) -> list[SearchAnswer]:
        return [self._look(one.dependencies, one.scope) for one in requests]

    def _look(self, dependencies: Sequence[Any], scope: Mapping[str, Any]) -> SearchAnswer:
        outside, odds = self._outside, self._outside.odds
        run_id, stage = scope["run_id"], "s" + dependencies[0].name[1:]
        nature = outside.nature(run_id, stage)
        if odds.strike("search error", 0.1):
            return SearchAnswer("error", None, "no answer")
        if nature.is_ambiguous:
            odds.note("search ambiguous")
            return SearchAnswer("ambiguous", None, "two of them")
        if outside.timeline.now < nature.data_comes_at:
            odds.note("search missing")
            return SearchAnswer("missing", None, "0 of 4 names match")
        found = {
            each.name: {"key": f"{run_id}/{each.name}", "etag": f"{outside.chance.getrandbits(32):08x}"}
            for each in dependencies
        }
        for name, value in found.items():
            outside.answers.setdefault((run_id, name), []).append(value)
        return SearchAnswer("found", found)


class PretendBucket(MemoryBucket):
    """The bucket for large payloads, with its bad moments. What it has taken it keeps."""

    def __init__(self, kept: MemoryBucket, odds: Odds) -> None:
        super().__init__(kept.url)
        self._kept, self._odds = kept, odds

    def write(self, key: str, content: bytes) -> ObjectFacts:
        if self._odds.strike("payload bucket out of order", 0.1):
            raise BucketError("pretended")
        return self._kept.write(key, content)

    def read(self, key: str, size_max: int) -> bytes:
        if self._odds.strike("payload bucket out of order", 0.06):
            raise BucketError("pretended")
        return self._kept.read(key, size_max)

    def write_pieces(self, key: str, pieces: Iterable[bytes]) -> ObjectFacts:
        return self.write(key, b"".join(pieces))

    def read_pieces(self, key: str) -> Iterator[bytes]:
        if self._odds.strike("payload bucket out of order", 0.06):
            raise BucketError("pretended")
        yield from self._kept.read_pieces(key)
