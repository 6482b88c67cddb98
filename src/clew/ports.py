"""What clew needs from the world: each port's promise, on one page.

The orchestrator is written against these; `wiring.py` alone knows who keeps the promises. Two documents cross
the border to the code that a program runs, `AttemptRequest` and `AttemptReport`: plain JSON, so that any
process or cluster can be the other end.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec

Json = Any


# ---- time, chance, tasks ---------------------------------------------------------------------------------


class Clock(Protocol):
    """Wall-clock time, for records and for due times; never for safety."""

    def now(self) -> int:
        """Milliseconds since 1970-01-01T00:00:00Z."""


class Chance(Protocol):
    """Randomness, for names, salts and jitter; a simulation gives it by seed."""

    def token(self, size: int) -> bytes:
        """`size` unpredictable bytes."""

    def permille(self) -> int:
        """A uniform number from 0 to 1000."""


class Timer(Protocol):
    def cancel(self) -> None: ...


class Tasks(Protocol):
    """Whatever runs concurrently is started here, so that a simulation owns every interleaving."""

    def start(self, coroutine: Coroutine[Any, Any, None], *, name: str) -> Timer:
        """Run the coroutine on its own; an error that escapes it takes the orchestrator down."""

    def soon(self, callback: Callable[[], None]) -> None:
        """Call back in a later turn of the event loop."""

    def later(self, milliseconds: int, callback: Callable[[], None]) -> Timer:
        """Call back after that many milliseconds of real (monotonic) time."""

    async def outside(self, function: Callable[[], Any]) -> Any:
        """The result of a function that blocks, called in a thread."""


# ---- buckets ---------------------------------------------------------------------------------------------


class ObjectFacts(msgspec.Struct, frozen=True):
    """An object in a bucket; `modified_at` in milliseconds since 1970."""

    key: str
    size: int
    etag: str
    modified_at: int


class BucketError(Exception):
    """The bucket could not answer. This is not the same as a missing object."""


class Bucket(Protocol):
    """A named place of objects. Blocking; every method may raise BucketError."""

    @property
    def url(self) -> str: ...

    def list_folder(self, folder: str, start: str = "") -> Iterator[ObjectFacts | str]:
        """What lies directly in `folder` ("" or ending in "/") with names beginning with `start`, in order of
        key: an object as its facts, a folder as its key ending in "/"."""

    def facts(self, key: str) -> ObjectFacts | None:
        """The object of that key, or None."""

    def read(self, key: str, size_max: int) -> bytes:
        """The object's bytes. Raises FileNotFoundError, or BucketError when it is larger than `size_max`."""

    def write(self, key: str, content: bytes) -> ObjectFacts:
        """Put an object whole: it is there with all its bytes, durably, or not at all."""

    def copy(self, key: str, target: str) -> ObjectFacts:
        """Copy within the bucket. Raises FileNotFoundError."""

    def delete(self, key: str) -> bool:
        """Remove an object; False if there was none."""


# ---- attempts --------------------------------------------------------------------------------------------


class WorkItem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One command or condition as the program states it: templates not filled in yet."""

    name: str
    params: Json = None


class OutputItem(msgspec.Struct, frozen=True, omit_defaults=True):
    """A declared output: its name and where its value comes from (see `core.program.model.Output`)."""

    name: str
    source: str | None = None


class SecretSource(msgspec.Struct, frozen=True):
    """Where a secret's value is found: `kind` is `environment` or `file`, `name` the variable or the path."""

    kind: str
    name: str


class AttemptRequest(msgspec.Struct, frozen=True, kw_only=True):
    """All that an attempt, a rollback or a test of conditions needs to know.

    `work` is `execute`, `rollback` or `test`. `scope` holds the values of the names that `items` and
    `environment` refer to, with those that a rollback or test is told (`outcome`, `attempts`, the outputs).
    """

    attempt_id: str
    work: str
    program: str
    run_id: str
    stage: str
    attempt: int
    idempotency_key: str
    items: tuple[WorkItem, ...]
    scope: Mapping[str, Json]
    inputs: tuple[str, ...] = ()
    outputs: tuple[OutputItem, ...] = ()
    environment: Mapping[str, str] = {}
    timeout_milliseconds: int = 3_600_000
    executor: str = "local"
    folder: str = ""
    """Where the program's own code is found: a folder put in front of the module search path."""
    buckets: Mapping[str, str] = {}
    secrets: Mapping[str, SecretSource] = {}
    log: str = ""
    """The file that takes standard output and error; empty for none."""
    log_size_max: int = 16 * 1024 * 1024
    output_size_max: int = 16 * 1024 * 1024


class AttemptError(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why it failed: `kind` is a short name to count and to match `retry.on`, `message` is for people."""

    kind: str
    message: str
    detail: str = ""


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of testing one condition: `verdict` is `held`, `not_held` or `error` (it could not be told)."""

    condition: str
    verdict: str
    message: str = ""
    compared: Json = None


class AttemptReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How it ended. `outcome`: `completed`, `failed`, `timed_out`, `cancelled`, `unknown` or `not_begun`."""

    outcome: str
    result: Json = None
    outputs: Mapping[str, Json] = {}
    error: AttemptError | None = None
    findings: tuple[Finding, ...] = ()
    log_size: int = 0
    log_truncated: bool = False


class Executor(Protocol):
    """Where work runs. An attempt ends in exactly one call of `ended`, whatever happens to it."""

    def submit(self, request: AttemptRequest, ended: Callable[[AttemptReport], None]) -> None:
        """Begin the work; `ended` is called later, from the event loop, never from within `submit`."""

    def submit_all(self, requests: Sequence[tuple[AttemptRequest, Callable[[AttemptReport], None]]]) -> None:
        """Begin the work of one turn together."""

    def cancel(self, attempt_id: str) -> None:
        """Ask it to end, then kill it as a group; it still ends in `ended` (`cancelled`, or `unknown`)."""

    async def close(self) -> None:
        """Kill what still runs, wait for its end, and release everything."""


# ---- the store -------------------------------------------------------------------------------------------


class Fenced(Exception):
    """Another orchestrator drives this run now: nothing of what was to be recorded has been."""


class StoreError(Exception):
    """The store can't be used; the message says why and what would help."""


class StoreBusy(StoreError):
    """Another process holds the store; the message says which."""


Rows = Iterable[Mapping[str, Json]]
