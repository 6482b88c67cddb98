"""A program as clew understands it: frozen, complete, free of places and of files.

A program from Python and one from YAML are equal when they mean the same, and so is their version. Lengths
of time are integers in milliseconds; JSON values are plain Python values (`Json`). Nothing here checks
anything: `parse.py` does, before a model comes to be.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from clew.core.timing.clock_change import USUAL, ClockChange

Json = Any
"""A JSON value: None, bool, int, float, str, list of Json, dict from str to Json."""

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE

ANSWER_MILLISECONDS = 30 * SECOND
"""How long a plug-in has to answer, if nothing else is said: as long as most servers let a request take."""

ITEM_COUNT_MAX = 10_000
"""Items of a stage: each has its attempts and its row, and as many stages as a program may have fit a run."""


class Command(Struct, frozen=True):
    """A named piece of work: a registered name (or a `{reference}` to one) and what it is given."""

    name: str
    params: Json = None


class Condition(Struct, frozen=True):
    """A named check. Without `maximum_time` it is tested once; with it, again and again until it holds."""

    name: str
    params: Json = None
    maximum_time_milliseconds: int | None = None
    interval_milliseconds: int = SECOND
    reexecute: bool = False


class Retry(Struct, frozen=True):
    """How often a piece of work is tried, and how long clew waits before it tries again.

    `attempts` counts the first one. `on` is `any`, or the kinds of error that are worth another attempt
    (a Python exception's class name, `exit`, `timed_out`, `validation`, ...).
    """

    attempts: int = 1
    delay_milliseconds: int = 5 * SECOND
    growth: float = 2
    maximum_delay_milliseconds: int = 5 * MINUTE
    jitter: bool = True
    on: tuple[str, ...] = ("any",)


class Delay(Struct, frozen=True):
    """How long clew waits between two looks for a missing dependency."""

    first_milliseconds: int = 5 * MINUTE
    growth: float = 1
    maximum_milliseconds: int | None = None


class Element(Struct, frozen=True):
    """One element of a path pattern; `kind` is `exact` or `regex`, `multiple` how to choose among several."""

    match: str
    kind: str = "exact"
    multiple: str | None = None


class Limits(Struct, frozen=True):
    """How long something unfinished is still driven; None is without limit. What a program calls its `monitor`.

    `run_milliseconds`: from the later of the run's scheduled time and its launch; said of a stage, until when it is to
    be done. `execution_milliseconds`: a stage's attempts, from the first one's start. `validation_milliseconds`: the
    validation of what an attempt has executed, from then on.
    """

    run_milliseconds: int | None = None
    execution_milliseconds: int | None = None
    validation_milliseconds: int | None = None


NO_LIMITS = Limits()


class Dependency(Struct, frozen=True):
    """Data a stage needs from a bucket, located by a sequence of elements; its name is a variable.

    `stable_for_milliseconds`: an object is taken only once it has been seen unchanged for so long.
    """

    name: str
    bucket: str
    prefix: tuple[Element, ...]
    stable_for_milliseconds: int | None = None


class InputDependency(Struct, frozen=True):
    """Something a person or a system must supply while the run goes on; its name is a variable.

    `schema` is a JSON Schema, or None for any value. `deadline_milliseconds` counts from the stage's `now`.
    """

    name: str
    schema: Json = None
    deadline_milliseconds: int | None = None


class VariableDependency(Struct, frozen=True):
    """An output of the latest completed run of a program, its own included; or the default, where there is none."""

    name: str
    program: str
    output: str
    has_default: bool = False
    default: Json = None


class ProgramDependency(Struct, frozen=True):
    """That a program's run has completed: its latest one; with an offset, the one for the time that is so far from
    this run's scheduled time."""

    name: str
    program: str
    offset_milliseconds: int | None = None


class AskedDependency(Struct, frozen=True):
    """What this machine (`kind` is `resource`), an address (`infrastructure`) or a plug-in is asked for. A plug-in is
    a name, or `module:function`, and has so long to answer."""

    name: str
    kind: str
    params: Mapping[str, Json] = field(default_factory=dict)
    timeout_milliseconds: int | None = None

    @property
    def is_plug_in(self) -> bool:
        """This machine and addresses are asked by conditions of clew's own, which have their own limits."""
        return self.timeout_milliseconds is not None


SearchedDependency = Dependency | VariableDependency | ProgramDependency | AskedDependency
"""What clew looks for by itself."""

AnyDependency = SearchedDependency | InputDependency


class Output(Struct, frozen=True):
    """A name that a stage writes; `source` is None (from the result), `stdout`, or a name in the result."""

    name: str
    source: str | None = None
    has_default: bool = False
    default: Json = None


class FolderSource(Struct, frozen=True):
    """Code that lies in a folder of a bucket; an empty one is the whole bucket."""

    bucket: str
    folder: str = ""


class GitSource(Struct, frozen=True):
    """Code that lies in a git commit, or in a folder of it; `git` is the repository's address."""

    git: str
    commit: str
    folder: str = ""


AnySource = FolderSource | GitSource


class Rollback(Struct, frozen=True):
    """How a stage is undone. `kind` says which case the author declared.

    `undeclared`: nothing was said, so what the stage did is residue when the run goes wrong.
    `none`: the stage leaves nothing that would have to be undone.
    `commands`: these, in order; then the objects of `restore` are put back.
    `impossible`: a point of no return.

    `restore`: places (`bucket/key`, or URLs) whose objects are kept before a pass's first attempt. `to`: the
    stage to whose block, inclusive, the run goes back when this one fails for good, and from where it goes on,
    up to `attempts` times. `on_failure` is `hold` or `continue`: what becomes of the other rollbacks when this
    one fails for good.
    """

    kind: str = "undeclared"
    commands: tuple[Command, ...] = ()
    restore: tuple[str, ...] = ()
    to: str | None = None
    attempts: int = 1
    on_failure: str = "hold"
    retry: Retry = Retry()
    timeout_milliseconds: int = HOUR


class Stage(Struct, frozen=True):
    """The unit of work: what it needs, what it does, how that is checked and undone.

    `for_each`: a template that gives a list, or a list; the stage is then done once for each of its values, at
    most `max_parallel` of these items at the same time. `source`: where the code is that its commands run; it is
    fetched before each attempt.
    """

    name: str
    execute: tuple[Command, ...]
    dependencies: tuple[AnyDependency, ...] = ()
    inputs: tuple[str, ...] = ()
    outputs: tuple[Output, ...] = ()
    after: tuple[str, ...] = ()
    when: str | None = None
    for_each: Json = None
    max_parallel: int | None = None
    validate: tuple[Condition, ...] = ()
    rollback: Rollback = Rollback()
    retry: Retry = Retry()
    timeout_milliseconds: int = HOUR
    delay: Delay = Delay()
    executor: str = "local"
    environment: Mapping[str, str] = field(default_factory=dict)
    source: AnySource | None = None
    backfill_milliseconds: int | None = None
    """How long it may wait for its data, where that is not the program's."""
    limits: Limits = NO_LIMITS
    """Those of its own; the program's hold where it has none."""

    @property
    def file_dependencies(self) -> tuple[Dependency, ...]:
        """The dependencies that are searched in buckets."""
        return tuple(one for one in self.dependencies if isinstance(one, Dependency))

    @property
    def searched_dependencies(self) -> tuple[SearchedDependency, ...]:
        """The dependencies that clew looks for: all but those that somebody must supply."""
        return tuple(one for one in self.dependencies if not isinstance(one, InputDependency))

    @property
    def input_dependencies(self) -> tuple[InputDependency, ...]:
        """The dependencies that somebody must supply."""
        return tuple(one for one in self.dependencies if isinstance(one, InputDependency))


class CustomTime(Struct, frozen=True):
    """A named offset from `now` (fixed once a stage and pass) or from `run` (the scheduled time)."""

    name: str
    base: str
    offset_milliseconds: int


SETTLED_STATUSES = ("completed", "failed", "rolled_back", "missed", "skipped")
"""In which a run comes to rest."""

FOREVER = -1
"""As a duration of `retention`: nothing is ever removed."""


class Program(Struct, frozen=True):
    """A named, versioned description of stages."""

    name: str
    stages: tuple[Stage, ...]
    timezone: str = "UTC"
    custom_times: tuple[CustomTime, ...] = ()
    maintain_sequence: bool = False
    variables: Mapping[str, Json] = field(default_factory=dict)
    requests: Mapping[str, Json] = field(default_factory=dict)
    """For each variable that a request may or must set, its JSON Schema."""
    validate: tuple[Condition, ...] = ()
    cadence: tuple[tuple[str, ...], ...] | str | None = None
    """Rows of columns of cron expressions; `once`; a date-time; or None, for a program that runs on request only."""
    initial: str | None = None
    """The first time due, a date-time in the program's time zone or of UTC; or when a repeating window opens."""
    final: str | None = None
    """The last time due, or when a repeating window closes."""
    clock_change: ClockChange = USUAL
    backfill_milliseconds: int | None = None
    """How far back missed times count, and how long a run may wait for its data, from its scheduled time; None: no time
    that was missed is run, and a run waits as long as it is driven."""
    on_missed: str = "record"
    """`backfill`: a time that was missed is run all the same, later and behind the current ones."""
    limits: Limits = NO_LIMITS
    max_active_runs: int | None = None
    """How many of its runs may be under way at the same time; None for no limit."""
    run_order: str = "any"
    """`scheduled`: each run starts only when the one before it, by scheduled time, has settled."""
    overlap: str = "queue"
    """What is done with a due run that has no place: `queue`, `skip`, or `cancel` what is in its way."""
    retention: Mapping[str, int] = field(default_factory=dict)
    """By status, for how many milliseconds after their end its runs are kept, or FOREVER; what is not there is for the
    settings to say."""

    def stage(self, name: str) -> Stage:
        """The stage of that name. Raises KeyError if there is none."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise KeyError(name)
