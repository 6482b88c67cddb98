"""What clew needs from the world: each port's promise, on one page.

The orchestrator is written against these; `wiring.py` alone knows who keeps the promises. Two documents cross
the border to the code that a program runs, `AttemptRequest` and `AttemptReport`: plain JSON, so that any
process or cluster can be the other end.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import msgspec

from clew.core.sealing.leaves import Leaf, LeafKind

if TYPE_CHECKING:
    from clew.core.planning.questions import Question, Reply

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


class Alarm(Protocol):
    """Wakes by the wall clock, for due times and for what a program says lasts so long."""

    def at(self, moment: int, callback: Callable[[], None]) -> Timer:
        """Call back, once, when the wall clock shows that moment (see `Clock`) or a later one: also when it is set to
        such a one, or the machine was asleep when it came."""


class Tasks(Protocol):
    """Whatever runs concurrently is started here, so that a simulation owns every interleaving."""

    def start(self, coroutine: Coroutine[Any, Any, None], *, name: str) -> object:
        """Run the coroutine on its own; an error that escapes it takes the orchestrator down."""

    def soon(self, callback: Callable[[], None]) -> None:
        """Call back in a later turn of the event loop."""

    def later(self, milliseconds: int, callback: Callable[[], None]) -> Timer:
        """Call back after that many milliseconds of real (monotonic) time."""

    async def outside(self, function: Callable[[], Any]) -> Any:
        """The result of a function that blocks, called in a thread."""

    def watch(self, socket: int, milliseconds: int, callback: Callable[[], None]) -> Watch:
        """Call back, once, when that socket can be read, or that many milliseconds later."""


class Watch(Protocol):
    """Somebody is to be called back once a socket can be read."""

    def cancel(self) -> None:
        """Don't call back any more."""

    def call_now(self) -> None:
        """Somebody else has read what was to be read: call back soon, unless that has been done, or taken back."""


WatchSocket = Callable[[int, int], Watch]
"""Begins to watch a socket, for so many milliseconds at the most."""


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
    """A named place of objects. Blocking; every method may raise BucketError.

    A key is any text of at most 1,024 bytes of UTF-8 without NUL that does not end in `/`. A bucket that can't hold
    one raises BucketError; it never takes another for it."""

    @property
    def url(self) -> str: ...

    def list_folder(self, folder: str, start: str = "") -> Iterator[ObjectFacts | str]:
        """What lies directly in `folder` ("" or ending in "/") with names beginning with `start`, in order of
        key: an object as its facts, a folder as its key ending in "/". All of it, each once; where that can't be
        made sure of, BucketError, which may come after some. No page is asked for before it is needed."""

    def facts(self, key: str) -> ObjectFacts | None:
        """The object of that key, or None."""

    def read(self, key: str, size_max: int) -> bytes:
        """The object's bytes. Raises FileNotFoundError, or BucketError when it is larger than `size_max`."""

    def read_pieces(self, key: str) -> Iterator[bytes]:
        """The object's bytes, however many, in pieces that memory holds easily. Whatever it raises, as `read`
        does, comes when the first piece is asked for, or a later one."""

    def write(self, key: str, content: bytes) -> ObjectFacts:
        """Put an object whole: it is there with all its bytes, durably, or not at all."""

    def write_pieces(self, key: str, pieces: Iterable[bytes]) -> ObjectFacts:
        """As `write`, without ever holding more than a piece. What the pieces raise comes through, and then
        nothing has changed: the object that was there is there still."""

    def copy(self, key: str, target: str) -> ObjectFacts:
        """Copy within the bucket. Raises FileNotFoundError."""

    def delete(self, key: str) -> bool:
        """Remove an object; False if there was none."""


class KeptObject(msgspec.Struct, frozen=True, omit_defaults=True):
    """What stood at a place (`bucket/key`, or a URL) before a stage began: nothing, or an object of that size and
    SHA-256, of which a copy stands at the key `location` of the bucket for kept objects."""

    place: str
    existed: bool
    digest: str = ""
    size: int = 0
    location: str = ""


# ---- attempts --------------------------------------------------------------------------------------------


class WorkItem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One command or condition as the program states it: templates not filled in yet."""

    name: str
    params: Json = None


class OutputItem(msgspec.Struct, frozen=True, omit_defaults=True):
    """A declared output: its name and where its value comes from (see `core.program.model.Output`)."""

    name: str
    source: str | None = None


class FoundObject(msgspec.Struct, frozen=True):
    """An object (or a folder, without an etag) that a search found: its bucket, by name or URL, and its key."""

    bucket: str
    key: str
    etag: str = ""


class SourceRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where the code is that the commands run, as the program states it, templates not filled in: a folder of a
    `bucket`, or of a `commit` of a `git` repository. `digest` is the tree's that was pinned by the stage's first
    attempt: no other is run. `cache`: a folder of what was fetched before; empty for none. `is_fresh`: that digest was
    found out just now, so that a tree in the cache need not be held against the source once more."""

    bucket: str = ""
    git: str = ""
    commit: str = ""
    folder: str = ""
    digest: str = ""
    cache: str = ""
    is_fresh: bool = False


class SecretSource(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a secret's value is found. `kind` is `environment`, `file`, `command` or `plugin`; `name` is the variable,
    the path, the program, or the plug-in: `module:function`, or what a package calls it."""

    kind: str
    name: str
    arguments: tuple[str, ...] = ()
    """What the program is given."""
    params: Mapping[str, Json] = {}
    """What the plug-in is given."""
    folder: str = ""
    """Where the program runs, and the plug-in's module is found first."""
    timeout_milliseconds: int = 30_000
    """How long a program or a plug-in may take."""


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a double gives in the place of a command: `gives` is the command's result, `stdout` its standard output.
    `leaves` and `takes` are marks, texts filled in from what the command sees and its `params`: the one is there
    afterwards, the other is not."""

    command: str
    gives: Json = None
    stdout: str | None = None
    leaves: str = ""
    takes: str = ""


class Doubles(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What stands in for the outside of an attempt that has these: nothing else of it is reached.

    `folder` holds the copies, all of which may be changed. `folders` and `databases` map real paths to their copies
    in it, `servers` the beginnings of addresses to those of servers that answer in their place. `as_is`: commands
    that are run as they are, since they reach nothing but what they are told of. `marks`: the folder in which
    answers keep what they left.
    """

    folder: str
    marks: str
    folders: Mapping[str, str] = {}
    databases: Mapping[str, str] = {}
    servers: Mapping[str, str] = {}
    as_is: tuple[str, ...] = ()
    answers: tuple[Answer, ...] = ()


class AttemptRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """All that an attempt, a rollback or a test of conditions needs to know.

    `work` is `execute`, `rollback`, `test`, or `fetch`, which finds out what its `source` is now. `scope` holds the
    values of the names that `items`, `source` and `environment` refer to, with those that a rollback or test is told
    (`outcome`, `attempts`, the outputs).
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
    source: SourceRequest | None = None
    """Code that is fetched into the attempt's work folder, and in which its commands then run."""
    found: tuple[FoundObject, ...] = ()
    """What the attempt's stage has found: it begins only while all of it is as it was then."""
    kept: Sequence[Mapping[str, Json]] = ()
    """For a rollback that puts objects back: each `KeptObject`, as plain JSON."""
    left: Mapping[str, str | None] | None = None
    """The SHA-256 of what the stage left at each place of `kept`, None where it left nothing. Without the
    mapping nobody knows."""
    kept_bucket: str = ""
    """The URL of the bucket in which the copies stand."""
    doubles: Doubles | None = None
    """What stands in for the outside; without any the attempt acts on the world."""


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


class AttemptReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """How it ended. `outcome`: `completed`, `failed`, `timed_out`, `cancelled`, `unknown` or `not_begun`."""

    outcome: str
    result: Json = None
    outputs: Mapping[str, Json] = {}
    error: AttemptError | None = None
    findings: tuple[Finding, ...] = ()
    log_size: int = 0
    log_truncated: bool = False


class Executor(Protocol):
    """Where work runs. An attempt ends in exactly one call of `ended`, whatever happens to it, and has ended by
    then with all that it had started. Only where that call says `unknown` nobody can tell: then, from an executor
    that goes on waiting, one late call may follow, which says how it ended after all. It changes nothing any more
    of what was decided meanwhile; of a test there is none.
    """

    def submit(self, request: AttemptRequest, ended: Callable[[AttemptReport], None]) -> None:
        """Begin the work; `ended` is called later, from the event loop, never from within `submit`."""

    def submit_all(self, requests: Sequence[tuple[AttemptRequest, Callable[[AttemptReport], None]]]) -> None:
        """Begin the work of one turn together."""

    def cancel(self, attempt_id: str) -> None:
        """Ask it to end, then kill it as a group; it still ends in `ended`. That says `cancelled`, or `unknown`
        if it can't be shown to have ended, or how it ended by itself if it did so first."""

    async def close(self) -> None:
        """End what still runs as `cancel` does, wait for that, within a limit, and release everything."""

    @property
    def recovers(self) -> bool:
        """Whether what runs there outlives the orchestrator that has submitted it. Where it does not, it has ended by
        the time at which another one has the run."""

    def recover(self, request: AttemptRequest, ended: Callable[[AttemptReport], None]) -> None:
        """Wait for work that another orchestrator has submitted, or was about to, and begin nothing: `ended` is called
        as after `submit`, with `not_begun` where it never came there. Only where it `recovers`."""


# ---- searches --------------------------------------------------------------------------------------------


class Keeper(Protocol):
    """Keeps copies of objects that a rollback may put back. Blocking; may raise BucketError."""

    @property
    def url(self) -> str:
        """The bucket of the copies."""

    def keep(
        self, places: Sequence[str], folder: str, buckets: Mapping[str, str]
    ) -> Sequence[Mapping[str, Json]]:
        """Copy the objects of these places (`bucket/key`, or URLs), durably, into that folder of its bucket; what
        was where, and where the copies are. Doing so again does no harm."""

    def look(self, places: Sequence[str], buckets: Mapping[str, str]) -> Mapping[str, str | None]:
        """The SHA-256 of what is in each place now; None where there is nothing."""


class SearchRequest(msgspec.Struct, frozen=True):
    """What a stage looks for: its `SearchedDependency`s, the values that they refer to, and the buckets' URLs by
    name. Of its run the id, the scheduled time and the folder of its own code."""

    dependencies: Sequence[Any]
    scope: Mapping[str, Json]
    buckets: Mapping[str, str]
    run_id: str = ""
    run_time: int = 0
    folder: str = ""
    is_due: bool = False
    """Its run stands for a due time."""


class ListingName(NamedTuple):
    """A listing that was made: what lies directly in that folder of a bucket and begins with `start`."""

    bucket_url: str
    folder: str
    start: str


class SearchAnswer(msgspec.Struct, frozen=True):
    """`verdict`: `found`, `missing`, `ambiguous` or `error` (the bucket, or who was asked, could not answer);
    `message` says how near it came, or what is wrong. `evidence`: on what each match rests, or why there is none, by
    dependency (see `Evidence` and `Told` of `core.planning`). `listed`: the listings that were looked through. `seen`:
    of a search that found nothing in listings, and asked nobody else, a digest of all that they showed it: as long as
    that stays, so does the answer; empty for any other."""

    verdict: str
    found: Mapping[str, Json] | None
    message: str = ""
    evidence: Mapping[str, Json] = {}
    listed: tuple[ListingName, ...] = ()
    seen: bytes = b""


class NotTold(Exception):
    """What was asked could not be answered. This is not the same as missing."""


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What a process that asks a plug-in is told: the plug-in's kind and params, in which `secret:NAME` stands for what
    is found there, who asks (see `SearchRequest`), and how long the answer may take."""

    kind: str
    params: Mapping[str, Json]
    run_time: int
    folder: str
    timeout_milliseconds: int
    secrets: Mapping[str, SecretSource] = {}


class Looked(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of it: `verdict` is `found`, `missing` or `error`."""

    verdict: str
    value: Json = None
    message: str = ""


class Ask(Protocol):
    """Answers what dependencies ask that are no files. Blocking; called from several threads."""

    def __call__(self, question: Question, request: SearchRequest) -> Reply:
        """What the question of that request comes to. Raises NotTold."""


class Searcher(Protocol):
    """Looks for the dependencies of many stages together, so that what several of them want listed is listed once.
    Blocking; never raises: an error of a bucket is an answer."""

    def __call__(self, requests: Sequence[SearchRequest]) -> Sequence[SearchAnswer]: ...


class BucketEvents(Protocol):
    """Tells sooner than the next look that a listing may have changed, where a bucket can. It may tell in vain, late,
    or not at all."""

    def follow(self, listing: ListingName, since: int, told: Callable[[], None]) -> None:
        """From here on `told` is called, on the event loop, when the listing may have changed; and at once if it may
        have since that moment, at which it was looked through. Of one that is followed already, only the latter."""

    def leave(self, listing: ListingName) -> None:
        """Follow it no longer. One that is not followed is left in peace."""


# ---- the store -------------------------------------------------------------------------------------------


class Fenced(Exception):
    """Another orchestrator drives this run now: nothing of what was to be recorded has been."""


class StoreError(Exception):
    """The store can't be used; the message says why and what would help."""


class Unreadable(StoreError):
    """A program version that the store holds can't be used: it is gone, was changed, or is read otherwise, or not at
    all, by this version of clew. That is no reason to drive no run of another."""


class PayloadUnreadable(Unreadable):
    """A payload of a run that stands beside the store can't be read from here, or not now. That is no reason to drive
    no other run."""


class StoreBusy(StoreError):
    """The store can't be used just now, and nothing was done; the message says who holds it."""


class StoreTaken(StoreError):
    """Another orchestrator has the store by now, or its file is not the one any more that was opened: nothing is
    recorded any more by this one."""


class UnsafeStore(StoreError):
    """What is recorded in the store might not last, and nobody has said that it is to be used all the same. The message
    says why, and what would help. Nothing was done."""


class DrivenElsewhere(StoreError):
    """Another orchestrator drives the run, and is there; nothing was done."""


class CommitUnknown(StoreError):
    """The store was lost while it committed: what was to be recorded is there whole, or not at all, or will be in a
    moment. Whoever records it again finds out."""


class FlushFailed(StoreError):
    """What was to be recorded may be there whole, or not at all, and nobody can tell: nothing is to be recorded
    any more by this process."""


class SigningKeyError(Exception):
    """The key that signs checkpoints can't be used, or could be by others; the message says where it is, and what would
    be right."""


class RunExists(StoreError):
    """Runs of the same program, scheduled time and generation as those in `run_ids` exist already. Nothing was
    recorded, of the other runs of the batch neither."""

    def __init__(self, run_ids: Sequence[str]) -> None:
        super().__init__(
            f"the program has such a run already (wanted: {', '.join(run_ids)}); ask for another"
        )
        self.run_ids = tuple(run_ids)


class NoPlace(StoreError):
    """The run is queued, and nobody who is in its way goes on by itself; the message says who. It stays queued."""


class Diagnosis(msgspec.Struct, frozen=True):
    """What was found of one of the things on which the records of a store rest. `verdict`: `sound`; `doubtful`, so that
    somebody should know of it; or `unsafe`: what is recorded might be lost, or damaged, and nothing is driven unless
    somebody says so. `remedy` says what would help."""

    name: str
    verdict: Literal["sound", "doubtful", "unsafe"]
    found: str
    remedy: str = ""


class Holder(NamedTuple):
    """The process that drives the runs of a store, or did. `boot_id`: names the time since its machine was started;
    `started_at`: when the process began to drive, in milliseconds since 1970; `uptime`: how many milliseconds after the
    start of its machine that was, by a clock that nobody sets."""

    host: str
    pid: int
    boot_id: str
    started_at: int
    uptime: int
    clew: str
    """The version of clew."""


class PayloadRow(NamedTuple):
    """What an entry names by digest. `content` is None where the bytes stand at `location`."""

    seq: int
    salt: bytes
    content: str | None
    location: str | None


class RunRow(NamedTuple):
    """A run's row of the tracker, as far as it changes."""

    status: str
    cause: str
    ended_at: int | None
    residue: str


class Advanced(NamedTuple):
    """Where a run's journal ends after a record."""

    entry_count: int
    head: str


class StageRow(NamedTuple):
    """The row of a stage (`item` is -1) or of one of its items in the tracker, as far as it changes."""

    position: int
    item: int
    pass_number: int
    status: str
    attempts: int
    outcome: str
    error_kind: str
    rollback_attempts: int
    started_at: int | None
    ended_at: int | None
    result_seq: int | None


class RunHead(msgspec.Struct, frozen=True):
    """Where a run's journal ends in the store, and under which epoch it can be written."""

    epoch: int
    entry_count: int
    head: str


class NewRun(NamedTuple):
    """What is fixed of a run when it is created. `stages`: position, name and block of each. `backfill`: what has it
    made up for (see `RunCreated`); `follows`: the run of the generation before; `is_due`: it stands for a due time;
    `needs_place`: it is queued until its program has room for it."""

    program: str
    version: str
    run_name: str
    run_time: int
    launched_at: int
    requested_by: str
    generation: int
    origin: str
    stages: Sequence[tuple[int, str, int]]
    backfill: str = ""
    follows: str = ""
    is_due: bool = False
    needs_place: bool = False
    request_key: NewRequestKey | None = None


class NewRequestKey(NamedTuple):
    """Under which key a run is asked for, which then makes no other; see `RequestKeyRow`."""

    key: str
    salt: bytes
    digest: str


class RunRecord(NamedTuple):
    """All that must hold together of one turn of one run: written whole or not at all.

    `entries`: seq, content, hash. `entry_count`: how many the journal had before, which guards, beside the
    epoch, against a second writer. `run` is None where the run's row stays as it is.
    """

    run_id: str
    epoch: int
    entry_count: int
    entries: Sequence[tuple[int, str, str]]
    payloads: Sequence[PayloadRow]
    advanced: Advanced
    run: RunRow | None
    stages: Sequence[StageRow]
    created: NewRun | None = None
    items: Sequence[StageRow] = ()
    dropped: Sequence[int] = ()
    """The positions of stages all of whose items' rows go, before those of `items` come."""
    obeyed: Sequence[tuple[int, str]] = ()
    """Instructions that these entries say: the entry's seq, and the instruction's id."""
    launched_at: int | None = None
    """When the run was launched, if these entries say so."""
    leaves: Sequence[LeafKind] = ()
    """The leaves that the run is to have in the tree, for where its journal ends with this record."""
    erased: Erased | None = None
    """What goes for good with this record, if anything does."""


class Erased(NamedTuple):
    """That all payloads of the entries before that `seq` were erased, at that moment in milliseconds since 1970; and
    with them what people have told the run until then, but that they did."""

    seq: int
    at: int


class InstructionRow(NamedTuple):
    """What became of an instruction: `answer` is `obeyed`, `refused` (and `why`), or None while it waits; `seq` is
    the entry's that says it."""

    answer: str | None
    why: str
    seq: int | None


class StandingRow(msgspec.Struct, frozen=True):
    """A run that is not settled, as far as places are concerned; `is_due`, `backfill`: see `RunCreated`."""

    run_id: str
    version: str
    origin: str
    run_time: int
    generation: int
    is_due: bool
    backfill: str
    status: str


class ScheduleRow(NamedTuple):
    """When a program is due, as far as that is settled: see the table `schedules`. Moments in milliseconds since
    1970."""

    program: str
    version: str
    live_since: int
    settled_until: int
    source: str
    origin: str
    zones: str
    retired_at: int | None


class PauseRow(msgspec.Struct, frozen=True):
    """A program was paused from `paused_at` on, by somebody; `unpaused_at` is None while it lasts."""

    paused_at: int
    paused_by: str
    paused_why: str
    unpaused_at: int | None


class Schedules(Protocol):
    """What a store knows of when programs are due. Blocking; one transaction a call; any call may raise StoreError."""

    def all(self) -> list[ScheduleRow]:
        """Of every program that is live, or was."""

    def of(self, program: str) -> ScheduleRow | None:
        """Of one program."""

    def origins(self) -> list[str]:
        """The origins, each once, of all that may run yet: of runs that have not settled, of programs that are live, of
        backfills that go on."""

    def go_live(
        self, program: str, version: str, *, at: int, source: str, origin: str, zones: str
    ) -> ScheduleRow:
        """This version of the program is live. The first time, and after it was retired, nothing before `at` is due."""

    def retire(self, program: str, at: int) -> None:
        """The program is not live any more."""

    def settle(
        self, program: str, *, settled_until: int, until: int, records: Sequence[RunRecord] = ()
    ) -> bool:
        """Settle the due times from `settled_until`, if nobody has meanwhile, to `until`: record their runs, of which
        none is there twice. False where nothing was done."""

    def pause(self, program: str, *, at: int, by: str, why: str) -> bool:
        """Pause the program; False when it is paused already."""

    def unpause(self, program: str, *, at: int, by: str, why: str) -> bool:
        """Let the program go on; False when it is not paused."""

    def pauses(self, program: str, after: int) -> list[PauseRow]:
        """When it was paused, as far as that lasted beyond a moment, the last one first."""

    def pause_count(self) -> tuple[int, int]:
        """How many pauses there were, and how many are over: another answer says that something has changed."""


class BackfillRow(NamedTuple):
    """Past times of a program that somebody wants to be run: see the table `backfills`."""

    backfill_id: str
    program: str
    version: str
    from_time: int
    to_time: int
    which: str
    run_order: str
    at_once: int
    stops_on_failure: int
    variables: str
    origin: str
    made_at: int
    made_by: str
    made_why: str
    status: str
    changed_at: int
    changed_by: str
    changed_why: str


class BackfillTime(msgspec.Struct, frozen=True):
    """A time of a backfill that has no run yet; `follows`: the run that it had when the backfill was made."""

    position: int
    run_time: int
    follows: str


class BackfillRun(NamedTuple):
    """A time of a backfill, with its run and the run's status, if it has one."""

    run_time: int
    run_id: str | None
    status: str | None
    follows: str


class Backfills(Protocol):
    """The backfills of a store. Blocking; one transaction a call; any call may raise StoreError."""

    def past_runs(self, program: str, first: int, last: int) -> dict[int, tuple[str, str]]:
        """Of each scheduled time of the program within that range, both ends included, the last run and its status."""

    def make(self, backfill: BackfillRow, times: Sequence[tuple[int, str]]) -> None:
        """Keep a backfill, with its times in order, each with the run that it had before."""

    def all(self, *, only_open: bool = False) -> list[BackfillRow]:
        """The backfills, the newest first; or those that run or are paused."""

    def like(self, text: str) -> list[BackfillRow]:
        """Those whose id begins so."""

    def counts(self, backfill_id: str) -> dict[str, int]:
        """How many of its times there are by the status of their runs; under an empty text those without one."""

    def next_times(self, backfill_id: str, limit: int) -> list[BackfillTime]:
        """The first of its times that have no run."""

    def runs(self, backfill_id: str, limit: int = -1) -> list[BackfillRun]:
        """Its first times, as many as the limit says, with their runs."""

    def unsettled(self, backfill_id: str) -> list[tuple[str, str]]:
        """The runs that were made for it and have not settled: id and status."""

    def failures(self, backfill_id: str) -> int:
        """How many runs that were made for it have settled without completing, since somebody last let it go on."""

    def leave(self, backfill_id: str, position: int, run_id: str) -> bool:
        """Keep that somebody else has made a run for one of its times, so that none is made for the backfill; False
        where it does not run any more, or that time has one."""

    def begin(self, backfill_id: str, position: int, record: RunRecord) -> bool:
        """Record the run of one of its times; False where it does not run any more, or that time has one. Raises
        RunExists, with nothing recorded, when the time has a run of that generation by now."""

    def change(
        self,
        backfill_id: str,
        status: str,
        *,
        before: Sequence[str],
        at: int,
        by: str,
        why: str,
        cancel: str = "",
    ) -> bool:
        """Give it another status; False where its status is none of those before. Where it runs again, what has failed
        so far counts no more. `cancel`: an instruction, given to those of its runs that are queued, or empty."""


class ClaimedRun(NamedTuple):
    """A run that is this orchestrator's to drive, under a new epoch, and its status."""

    run_id: str
    version: str
    origin: str
    epoch: int
    status: str


class Leases(Protocol):
    """Who drives which runs of a store: nobody, or one orchestrator, as long as it is there. Blocking; one transaction
    a call; any call may raise StoreError. Runs whose program has places are all driven by who gives these places."""

    @property
    def me(self) -> str:
        """Under which name this process drives runs; empty: it drives none."""

    @property
    def turn(self) -> int:
        """Which of the generations are this orchestrator's own that are made for a request: those that leave this, less
        one, when they are divided by `turns`."""

    @property
    def turns(self) -> int:
        """See `turn`; 1 where there is one orchestrator at a time."""

    def claim(self, limit: int, *, besides: Collection[str] = ()) -> list[ClaimedRun]:
        """Some of the runs that need no place, go on by themselves, and are driven by nobody who is there; of each
        program as many as of any other. `besides`: program versions of which none is wanted, and runs by their
        ids."""

    def claim_run(self, run_id: str) -> ClaimedRun | None:
        """That run, whatever it waits for; None when another orchestrator drives it, or there is no such run."""

    def programs_with_places(self) -> list[str]:
        """The programs with runs that need places and that are not all one's own, whose places nobody else gives who is
        there."""

    def take_gate(self, program: str) -> bool:
        """Give the places of that program from now on; False when another orchestrator does."""

    def claim_with_places(self, program: str) -> list[ClaimedRun]:
        """The runs of a program whose places one gives that have begun, as far as they are not one's own."""

    def release_some(self, run_ids: Sequence[str]) -> None:
        """Hand back these runs: they are anybody's."""

    def release_gate(self, program: str) -> None:
        """Give the places of that program no more: anybody may."""

    def owned(self) -> dict[str, int]:
        """The runs that this orchestrator drives, as far as is on record, and the epoch of each."""

    def are_others(self) -> bool:
        """Whether another orchestrator is there."""

    def driven(self) -> set[str]:
        """The runs that others drive who are there."""

    def release(self) -> None:
        """Hand back everything: it is anybody's."""


class TreeRow(msgspec.Struct, frozen=True):
    """Where a store's tree stands. `origin`: which tree it is; `size`: how many leaves it has. `signed_size`,
    `signed_root`: of what was signed last, or is being; 0 and empty where nothing was. `note`: that checkpoint, signed;
    empty as long as it is not."""

    origin: str
    size: int
    root: bytes
    signed_size: int
    signed_root: bytes
    note: str


class Tree(Protocol):
    """One tree over all runs of a store, which only grows. Blocking; one transaction a call; any call may raise
    StoreError."""

    def grow(self, limit: int) -> int:
        """Give so many of the leaves that are due their places; how many there were."""

    def row(self) -> TreeRow:
        """Where the tree stands."""

    def begin_signing(self) -> TreeRow:
        """Keep that the tree, as it is now, is about to be signed, before the signature is let out. Raises StoreError,
        with nothing kept, when more was signed before than is there, or something else."""

    def keep_note(self, note: str, size: int) -> None:
        """Keep the signed checkpoint of that size, unless another was signed since."""

    def leaves(self, first: int, limit: int) -> list[Leaf]:
        """So many leaves from that index on; fewer where one is missing, or the tree ends."""

    def leaves_of(self, run_id: str) -> list[tuple[int, Leaf]]:
        """A run's leaves, and the index of each."""

    def leaves_due(self, run_id: str) -> list[Leaf]:
        """The leaves of a run that have no place yet."""

    def leaf_without_run(self) -> str:
        """The id of a run that is in the tree and not in the store; empty where there is none."""

    def nodes(self, level: int, first: int, limit: int) -> list[bytes]:
        """The hashes of so many complete nodes of that level, one of those that are kept, from that index on."""


class ObjectsDue(NamedTuple):
    """That those objects of a run are to be deleted that entries before that `seq` have put into a bucket; 0: all."""

    position: int
    run_id: str
    before_seq: int


class KeptRun(NamedTuple):
    """A run's row, as far as it says whether its time is over."""

    run_id: str
    program: str
    version: str
    status: str
    launched_at: int
    ended_at: int | None
    entry_count: int
    removed_at: int | None
    archive: str


class RemovedRun(NamedTuple):
    """A run that is to leave, with the length that its journal had when it was looked at. `archive`: where its export
    stands, as its row says; empty for nowhere."""

    run_id: str
    entry_count: int
    archive: str


class ArchiveNamed(NamedTuple):
    """Where the row of a run that has not left says that its export is about to be put, and what it is to say."""

    run_id: str
    before: str
    archive: str


class Removals(Protocol):
    """What leaves a store again. Blocking; one transaction a call; any call may raise StoreError."""

    def objects_due(self, after: int, limit: int) -> list[ObjectsDue]:
        """Whose objects are to be deleted, in the order in which that was said, after that position."""

    def objects_are_gone(self, position: int) -> None:
        """That has been done."""

    def gone(self, run_ids: Sequence[str]) -> dict[str, int]:
        """Of these runs those of which something is gone, with the moment until which it is, in milliseconds since
        1970: of one that was removed the end of time."""

    def runs_after(self, launched_at: int, run_id: str, limit: int) -> list[KeptRun]:
        """So many runs in the order of their launch, then their id, after that one; those among them that have not
        settled, and those that were removed."""

    def name_archives(self, runs: Sequence[ArchiveNamed]) -> list[str]:
        """Have the rows of runs that have not left say where their exports are about to be put, of those that say yet
        what they said before; which ones."""

    def remove(self, runs: Sequence[RemovedRun], at: int) -> list[str]:
        """Have all of these runs leave but their rows, by one transaction; of whatever has moved on since, was told
        something that nobody has taken up, or is the last completed run of its program, nothing. Returns which have
        left."""


ROLES = ("viewer", "operator", "admin")
"""Who may do what: each may do what those before it may. A viewer reads; an operator has runs made, and tells them; an
admin says who may."""


class TokenRow(NamedTuple):
    """By what somebody may ask. `digest`: of its secret; moments in milliseconds since 1970, None for never."""

    token_id: str
    name: str
    role: str
    digest: str
    made_at: int
    made_by: str
    expires_at: int | None
    used_at: int | None = None
    revoked_at: int | None = None
    revoked_by: str = ""


class RequestKeyRow(NamedTuple):
    """The run that was asked for under a key, and the digest of the salt and the variables that came with it."""

    run_id: str
    salt: bytes
    digest: str


class Access(Protocol):
    """Who may ask for what, and what was asked for under a key. Blocking; one transaction a call; any call may raise
    StoreError."""

    def make_token(self, token: TokenRow) -> None:
        """Somebody may ask by it from now on."""

    def token(self, token_id: str) -> TokenRow | None: ...

    def tokens(self) -> list[TokenRow]:
        """All of them, the newest first."""

    def has_tokens(self) -> bool:
        """Whether anybody was ever given one."""

    def token_is_used(self, token_id: str, at: int) -> None:
        """Keep when it was used last."""

    def revoke_token(self, token_id: str, *, at: int, by: str) -> bool:
        """It is worth nothing any more; False where it was not worth anything before."""

    def request(self, program: str, key: str) -> RequestKeyRow | None:
        """What was asked for under that key of that program."""

    def forget_requests(self, before: int, limit: int) -> int:
        """Forget some of the keys that were used before that moment; how many."""


class Renewals(Protocol):
    """The renewing of an orchestrator's lease, apart from all else that it asks of its store: from one thread, which
    may be another one."""

    def renew(self) -> bool:
        """The lease lasts for its length from now on; False where the store has forgotten the orchestrator. Raises
        StoreError."""

    def close(self) -> None: ...


class Store(Protocol):
    """Where runs are kept. Blocking; one transaction a call; any call may raise StoreError.

    Of its kinds StoreBusy says that the call may be made again, CommitUnknown that it must be, to find out.
    After any other nobody may write to the store until it has been opened, and read, anew.
    """

    @property
    def flush_count(self) -> int:
        """How many transactions of runs were flushed."""

    @property
    def schedules(self) -> Schedules:
        """When programs are due."""

    @property
    def backfills(self) -> Backfills:
        """Past times that are to be run."""

    @property
    def leases(self) -> Leases:
        """Who drives which runs."""

    @property
    def tree(self) -> Tree:
        """What can be proved of all runs together."""

    @property
    def access(self) -> Access:
        """Who may ask for what."""

    @property
    def removals(self) -> Removals:
        """What leaves it again."""

    def record(self, records: Sequence[RunRecord]) -> list[str]:
        """Write the records of many runs, durably, with one flush, each whole. Returns the ids of runs that
        were fenced: of those nothing is written. Raises RunExists for creations that are there already."""

    @property
    def runs_apart_min(self) -> int | None:
        """The records of so many runs, at least, are better begun than waited for, since another process works on them;
        None where none does."""

    def begin_record(self, records: Sequence[RunRecord], watch: WatchSocket) -> None:
        """Have the database work on what `record` would write. `finish_record` is to follow, and won't have to wait
        when what is watched can be read. Whatever else is asked of the store until then waits for it. Raises StoreBusy
        where nothing was begun."""

    def finish_record(self) -> list[str]:
        """What came of it: as `record`."""

    def head(self, run_id: str) -> RunHead | None:
        """Where the run's journal ends; None when there is no such run."""

    def register_program(
        self, version: str, name: str, content: str, chain: Sequence[tuple[int, str, str]], registered_at: int
    ) -> None:
        """Keep a program version and its chain, once."""

    def program(self, version: str) -> str | None:
        """The canonical content of a version."""

    def chain(self, version: str) -> list[tuple[int, str, str]]:
        """The plan blocks of a version: index, content, hash."""

    def instruct(self, instruction_id: str, run_id: str, content: str, said_at: int) -> None:
        """Keep what a person tells a run, until whoever drives it takes it up."""

    def instructions(self) -> list[tuple[str, str, str]]:
        """What waits to be taken up, in order: instruction's id, run's id, content. For an orchestrator without what is
        said to runs that another one drives who is there."""

    def instruction_content(self, instruction_id: str) -> str | None:
        """What somebody has told a run by it, as it was given; None where there is no such instruction."""

    def instruction(self, instruction_id: str) -> InstructionRow | None:
        """What became of an instruction; None when there is none of that id."""

    def refuse(self, instruction_id: str, why: str, *, epoch: int | None) -> None:
        """Answer an instruction that the run can't obey. One that was answered stays as it is, and so does one of a
        run whose epoch is another by now; None says that there is no such run."""

    def run(self, run_id: str) -> Mapping[str, Any] | None:
        """A run's row of the tracker, by column."""

    def last_run(
        self, program: str, *, run_time: int | None = None, status: str | None = None, besides: str = ""
    ) -> Mapping[str, Any] | None:
        """The row of the program's run that is latest by scheduled time, then by launch; of those for that scheduled
        time, or in that status, if one is given, and without the run of the id `besides`. None when there is none."""

    def unsettled(self) -> list[tuple[str, str, int, str]]:
        """The runs that are not at rest: id, version, epoch, status."""

    def queued(self, program: str, limit: int) -> list[StandingRow]:
        """The first runs of the program that are queued, by scheduled time: so many that make up for nothing, and so
        many that do."""

    def under_way(self, program: str) -> list[StandingRow]:
        """The runs of the program that are neither queued nor settled."""

    def change_count(self) -> int:
        """Another number than before, if any other process, or connection, has changed the store since; now and then
        where nobody has."""

    def last_generation(self, program: str, run_time: int) -> int:
        """The last generation of a program's runs at that scheduled time; 0 for none."""

    def journal(self, run_id: str, after: int = -1) -> list[tuple[str, str]]:
        """A run's entries after that `seq`: content, hash."""

    def payloads(self, run_id: str) -> list[PayloadRow]:
        """All payloads of a run."""

    def payload(self, run_id: str, seq: int) -> PayloadRow | None:
        """The payload of one entry."""

    def leave(self) -> None:
        """Drive no runs any more."""

    def close(self) -> None: ...
