"""From a run's state and values to the documents that executors are given. Nothing here decides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from hashlib import sha256
from typing import Any

from msgspec.structs import replace

from clew.core.program.model import ITEM_COUNT_MAX, AnySource, Command, Condition, GitSource, Program, Stage
from clew.core.program.variables import ITEM_NAMES, TemplateError, render
from clew.core.running import statuses
from clew.core.running.stage_state import StageState
from clew.core.running.state import RunState
from clew.core.sealing.canonical import KEY_TAG, ROLLBACK_KEY_TAG
from clew.orchestrator.driven_run import DrivenRun
from clew.ports import (
    AttemptRequest,
    FoundObject,
    OutputItem,
    SearchRequest,
    SecretSource,
    SourceRequest,
    WorkItem,
)

Json = Any

KEY_LENGTH = 40
"""Characters of an idempotency key after its prefix, hex: 160 bits, more than chance or an adversary can meet."""

RESTORE = "restore_files"
"""The command that puts kept objects back, after the rollback's own."""

SOURCE = "source"
"""Under which the digest of a stage's fetched code stands beside those of its functions."""

_WITHOUT_CODE = frozenset(
    {"copy_file", "delete_file", "http", "publish_file", RESTORE, "sql", "wait", "file_exists"}
)
"""The commands and conditions that run no code of the stage's: a rollback of these alone needs none."""


class Surroundings:
    """What every attempt of this orchestrator is told of the machine: where buckets and secrets are, where
    copies of objects, fetched code and logs go. `log_path` names the file of an attempt's log, by run, stage and
    attempt; empty for none."""

    __slots__ = ("buckets", "kept_bucket", "log_path", "secrets", "source_cache")

    def __init__(
        self,
        *,
        buckets: Mapping[str, str],
        secrets: Mapping[str, SecretSource],
        log_path: Callable[[str, str, str], str],
        kept_bucket: str = "",
        source_cache: str = "",
    ) -> None:
        self.buckets, self.secrets, self.log_path = buckets, secrets, log_path
        self.kept_bucket = kept_bucket
        self.source_cache = source_cache


class StageWork:
    """The parts of a stage's requests that never change: made once a program version and stage."""

    __slots__ = ("execute", "fetch", "rollback")

    def __init__(self, program: str, stage: Stage, around: Surroundings) -> None:
        self.execute = _unchanging(program, stage, stage.execute, around, work="execute")
        self.fetch = _unchanging(program, stage, (), around, work="fetch")
        commands: list[Command] = [*stage.rollback.commands]
        if stage.rollback.restore:
            commands.append(Command(RESTORE))
        self.rollback = _unchanging(program, stage, commands, around, work="rollback")


def _unchanging(
    program: str, stage: Stage, items: Sequence[Command | Condition], around: Surroundings, *, work: str
) -> AttemptRequest:
    """A request with what every run says alike; the rest is filled in when it is made."""
    timeout = stage.rollback.timeout_milliseconds if work == "rollback" else stage.timeout_milliseconds
    outputs = stage.outputs if work == "execute" else ()
    made = () if work == "execute" else tuple(output.name for output in stage.outputs)
    has_code = work in ("execute", "fetch") or any(each.name not in _WITHOUT_CODE for each in items)
    told = tuple(sorted(ITEM_NAMES)) if stage.for_each is not None else ()
    return AttemptRequest(
        attempt_id="",
        work=work,
        program=program,
        run_id="",
        stage=stage.name,
        attempt=0,
        idempotency_key="",
        items=tuple(WorkItem(each.name, each.params) for each in items),
        scope={},
        inputs=(*stage.inputs, *(one.name for one in stage.dependencies), *made, *told),
        outputs=tuple(OutputItem(each.name, each.source) for each in outputs),
        environment=stage.environment,
        source=_source(stage.source, around) if has_code else None,
        timeout_milliseconds=timeout,
        executor=stage.executor,
        buckets=around.buckets,
        secrets=around.secrets,
    )


def _source(source: AnySource | None, around: Surroundings) -> SourceRequest | None:
    if source is None:
        return None
    cache = around.source_cache
    if isinstance(source, GitSource):
        return SourceRequest(git=source.git, commit=source.commit, folder=source.folder, cache=cache)
    return SourceRequest(bucket=source.bucket, folder=source.folder, cache=cache)


def fetch_request(
    run: DrivenRun, stage: StageState, work: StageWork, around: Surroundings, *, now: int, number: int
) -> AttemptRequest:
    """The document of the `number`-th look at what the stage's source is, before the stage's first attempt."""
    scope = scope_of(run, stage, stage.sealed.reads, now=now)
    return _filled(run, stage, work.fetch, scope, around, number=fetch_number(stage, number))


def fetch_number(stage: StageState, number: int) -> str:
    """What stands after the stage's name in the id of that look."""
    return f"{stage.pass_number}.fetch.{number}"


def execute_request(
    run: DrivenRun, stage: StageState, work: StageWork, around: Surroundings, *, pins: bool = False
) -> AttemptRequest:
    """The document of the stage's attempt that has just been ordered; `pins`: it is the one whose order pins the
    code."""
    scope = scope_of(run, stage, stage.sealed.reads)
    request = _filled(run, stage, work.execute, scope, around, number=f"{stage.attempts}")
    if pins and request.source is not None:
        request = replace(request, source=replace(request.source, is_fresh=True))
    return replace(request, found=_found(run, stage, scope)) if stage.sealed.stage.dependencies else request


def _found(run: DrivenRun, stage: StageState, scope: Mapping[str, Json]) -> tuple[FoundObject, ...]:
    """What the stage's dependencies have located. Of a list for whose values the stage is done only its own value
    concerns an item."""
    located = [run.values.get(one.name) for one in stage.sealed.stage.file_dependencies]
    if stage.parent is not None:
        count = len(items_of(run, stage.parent))
        located = [_own_of(value, stage.index, count, scope["item"]) for value in located]
    each = [one for value in located for one in (value if isinstance(value, list) else [value])]
    return tuple(
        FoundObject(one["bucket"], one["key"], one["etag"] or "")
        for one in each
        if isinstance(one, dict) and one.keys() >= LOCATED
    )


def _own_of(located: Json, index: int, count: int, item: Json) -> Json:
    """What was located for the item, if the items are the list of what was: rendered, which makes URLs of locations."""
    if not isinstance(located, list) or len(located) != count:
        return located
    own = located[index]
    return own if item in (own, own.get("url")) else located


LOCATED = frozenset({"bucket", "key", "etag"})
"""The fields by which a located value is known."""


def search_request(
    run: DrivenRun, stage: StageState, scope: Mapping[str, Json], buckets: Mapping[str, str]
) -> SearchRequest:
    """What the stage looks for, with the values that that refers to."""
    state = run.state
    wanted = stage.sealed.stage.searched_dependencies
    return SearchRequest(
        wanted, scope, buckets, state.run_id, state.run_time, run.origin.folder, state.is_due
    )


def rollback_request(
    run: DrivenRun, stage: StageState, work: StageWork, around: Surroundings
) -> AttemptRequest:
    """The document of a try at the stage's rollback: it sees the map as its stage did, the stage's own outputs
    (null where there are none), how the stage ended, and its attempts."""
    scope = scope_of(run, stage, stage.sealed.rollback_reads)
    scope["outcome"] = stage.outcome
    told = zip(stage.attempt_numbers, stage.outcomes, strict=True)
    scope["attempts"] = [{"attempt": number, "outcome": outcome} for number, outcome in told]
    scope["rollback_idempotency_key"] = idempotency_key(run.state.run_id, stage, ROLLBACK_KEY_TAG)
    number = f"{stage.attempts}.rollback.{stage.rollback_attempts}"
    request = _filled(run, stage, work.rollback, scope, around, number=number)
    if stage.kept_seq < 0:
        return request
    return replace(
        request, kept=run.kept[stage.name], left=run.left.get(stage.name), kept_bucket=around.kept_bucket
    )


def test_request(
    run: DrivenRun, stage: StageState, conditions: Sequence[Condition], around: Surroundings, *, number: int
) -> AttemptRequest:
    """The document of one round of tests of the stage's conditions."""
    unchanging = _unchanging(
        run.state.program.program.name, stage.sealed.stage, conditions, around, work="test"
    )
    scope = scope_of(run, stage, stage.sealed.validate_reads)
    return _filled(run, stage, unchanging, scope, around, number=f"{stage.attempts}.test.{number}")


def block_test_request(
    run: DrivenRun, index: int, conditions: Iterable[Condition], around: Surroundings, *, number: int
) -> AttemptRequest:
    """The document of one round of tests of a block's own conditions."""
    state = run.state
    return AttemptRequest(
        attempt_id=f"{state.run_id}/block-{index}.{state.pass_number}.test.{number}",
        work="test",
        program=state.program.program.name,
        run_id=state.run_id,
        stage="",
        attempt=0,
        idempotency_key="",
        items=tuple(WorkItem(each.name, each.params) for each in conditions),
        scope=block_scope(run),
        folder=run.origin.folder,
        buckets={**around.buckets, **run.origin.buckets},
        secrets=around.secrets,
    )


def block_scope(run: DrivenRun) -> dict[str, Json]:
    """What a block's own conditions see: the whole map, in which the outputs of skipped stages are null, and the
    run's own built-in names. Their `now` is when the block's last stage was done."""
    state = run.state
    names = ["program_name", "run_name", "run_id", "run_time", "launch_time", "now"]
    names += [custom.name for custom in state.program.program.custom_times]
    told = {name: _built_in(name, state, None, state.block_done_at) for name in names}
    skipped = [stage for stage in state.stages.values() if stage.status == statuses.SKIPPED]
    nulls = {output.name: None for stage in skipped for output in stage.sealed.stage.outputs}
    return {**nulls, **run.values, **told}


def _filled(
    run: DrivenRun,
    stage: StageState,
    unchanging: AttemptRequest,
    scope: Mapping[str, Json],
    around: Surroundings,
    *,
    number: str,
) -> AttemptRequest:
    run_id, name, origin = run.state.run_id, stage.name, run.origin
    request = replace(
        unchanging,
        attempt_id=f"{run_id}/{name}.{number}",
        run_id=run_id,
        attempt=stage.attempts,
        idempotency_key=idempotency_key(run_id, stage, KEY_TAG),
        scope=scope,
        folder=origin.folder,
        log=around.log_path(run_id, name, number),
    )
    if request.source is not None:
        pinned = stage.whole.code.get(SOURCE, "")
        request = replace(request, source=replace(request.source, digest=pinned))
    if origin.buckets:
        return replace(request, buckets={**around.buckets, **origin.buckets})
    return request


def idempotency_key(run_id: str, stage: StageState, tag: bytes) -> str:
    """The key of a stage, item and pass, the same in every attempt; a rollback has one of its own beside it."""
    item = "" if stage.parent is None else stage.index
    name = f"{run_id}\0{stage.sealed.stage.name}\0{item}\0{stage.pass_number}"
    prefix = "ck1_" if tag is KEY_TAG else "cr1_"
    return prefix + sha256(tag + name.encode()).hexdigest()[:KEY_LENGTH]


# ---- the map as a stage sees it --------------------------------------------------------------------------


def scope_of(run: DrivenRun, stage: StageState, names: Iterable[str], *, now: int = 0) -> dict[str, Json]:
    """The values of those names for that stage: the map's, its own outputs, what is built in. An output that
    was never written is null. `now` counts as long as the journal has not fixed the stage's."""
    scope: dict[str, Json] = {}
    if stage.parent is not None:
        scope["item"], scope["index"] = items_of(run, stage.parent)[stage.index], stage.index
    own = run.outputs.get(stage.name, {})
    if stage.parent is not None:  # under these names the map has its stage's, if anything
        own = {**dict.fromkeys(output.name for output in stage.sealed.stage.outputs), **own}
    for name in names:
        if name in own:
            scope[name] = own[name]
        elif name in run.values:
            scope[name] = run.values[name]
        elif name not in scope:
            scope[name] = _built_in(name, run.state, stage, now)
    return scope


class NoItems(ValueError):
    """What a stage is to be done for is no list, or too long a one; the message says so."""


def items_of(run: DrivenRun, stage: StageState, *, now: int = 0) -> list[Json]:
    """The values for each of which the stage is done. Raises NoItems."""
    known = run.items.get(stage.name)
    if known is None:
        scope = scope_of(run, stage, stage.sealed.reads, now=now)
        try:
            known = render(stage.sealed.stage.for_each, scope)
        except TemplateError as error:
            raise NoItems(f"for_each: {error}") from error
        if not isinstance(known, list):
            raise NoItems(
                f"for_each: '{stage.sealed.stage.for_each}' gives {known!r:.60}, and must give a list"
            )
        if len(known) > ITEM_COUNT_MAX:
            raise NoItems(f"for_each: there are {len(known)} values; {ITEM_COUNT_MAX} are the most")
        run.items[stage.name] = known
    return known


def restored_places(run: DrivenRun, stage: StageState, *, now: int) -> list[str]:
    """The places whose objects the rollback puts back. Raises TemplateError."""
    scope = scope_of(run, stage, stage.sealed.reads, now=now)
    places: list[str] = []
    for given in stage.sealed.stage.rollback.restore:
        found = render(given, scope)
        places += [str(place) for place in found] if isinstance(found, list) else [str(found)]
    return places


def _built_in(name: str, state: RunState, stage: StageState | None, now: int = 0) -> Json:
    program = state.program.program
    zone = _zone(program.timezone)
    match name:
        case "program_name":
            return program.name
        case "run_name":
            return state.run_name
        case "run_id":
            return state.run_id
        case "run_time":
            return written_moment(state.run_time, zone)
        case "launch_time":
            return written_moment(state.launched_at, zone)
        case "now":
            return written_moment(_now_of(stage, now), zone)
    if stage is not None:
        match name:
            case "stage_name":
                return stage.sealed.stage.name
            case "attempt":
                return stage.attempts
            case "idempotency_key":
                return idempotency_key(state.run_id, stage, KEY_TAG)
    for custom in program.custom_times:
        if custom.name == name:
            base = _now_of(stage, now) if custom.base == "now" else state.run_time
            return written_moment(base + custom.offset_milliseconds, zone)
    return None


def moments_at(program: Program, at: int) -> dict[str, Json]:
    """The moments that a stage of a run of that program sees that was scheduled and launched at that moment, and has
    begun at once."""
    zone = _zone(program.timezone)
    offsets = dict.fromkeys(("now", "run_time", "launch_time"), 0)
    offsets |= {custom.name: custom.offset_milliseconds for custom in program.custom_times}
    return {name: written_moment(at + offset, zone) for name, offset in offsets.items()}


def _now_of(stage: StageState | None, now: int) -> int:
    """The stage's `now` as the journal has fixed it, else the one given."""
    return stage.now_at or now if stage is not None else now


def written_moment(at: int, zone: tzinfo) -> str:
    """A moment in milliseconds as ISO 8601 in that zone."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at)
    return moment.astimezone(zone).isoformat(timespec="milliseconds")


@lru_cache(maxsize=256)
def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo  # 10 ms, and most programs keep to UTC

    return ZoneInfo(name)
