"""The parts of a program document: every key, what it may hold, and one line about it.

Both the reading of programs and the published JSON Schema come from here, and from nowhere else.
"""

from __future__ import annotations

from clew.core.program.model import ITEM_COUNT_MAX, SETTLED_STATUSES, Json
from clew.core.program.records import (
    BySort,
    Defined,
    Key,
    ListOf,
    MappingOf,
    NamedItems,
    OfKind,
    OneOrMore,
    Pair,
    Record,
)
from clew.core.program.shapes import Anything, Choice, Duration, Flag, Number, Schema, Shape, Text, Whole
from clew.core.program.signatures import Param, Signature, Signatures
from clew.core.program.sources import COMMIT, COMMIT_RULE
from clew.core.program.templates import NAME

# A stage that fails a thousand times is not going to succeed.
_ATTEMPTS_MAX = 1_000
# Beyond this factor the second wait is already the longest.
_GROWTH_MAX = 1_000
# Each is read and kept before the stage begins. Who overwrites more of them wants a folder of its own.
_PLACES_MAX = 100

# Names become parts of paths, of table rows and of lines on a terminal: a hundred characters fit them all.
# Said by what may not be in a name, so that Python and editors agree about letters beyond ASCII.
_FIRST = r"[^\s!-/:-@\[-^`{-~\x00-\x1f\x7f]"
_NO_BLANK_END = r"(?!.*[ .]$)"
PROGRAM_NAME = Text(
    about="the program's name",
    pattern=rf"{_NO_BLANK_END}{_FIRST}[^!-,/:-@\[-^`{{-~\x00-\x1f\x7f]{{0,99}}",
    rule="a name begins with a letter or digit, then has letters, digits, spaces, '.', '_', '-'; 100 at most",
)
STAGE_NAME = Text(
    about="the stage's name",
    pattern=rf"""{_NO_BLANK_END}{_FIRST}[^!"$%'*/:;<>?\[-^`{{-~\x00-\x1f\x7f]{{0,99}}""",
    rule="a name begins with a letter or digit, then has letters, digits, spaces, .,_()+&#@=-; 100 at most",
)
VARIABLE_NAME = Text(
    about="the variable's name",
    pattern=NAME,
    rule="a variable's name begins with a letter, then has letters, digits and '_', 100 at most",
)
_ENVIRONMENT_NAME = Text(
    about="the environment variable's name",
    pattern=r"(?!CLEW_)[A-Za-z_][A-Za-z0-9_]{0,99}",
    rule="it has letters, digits and '_', does not begin with a digit, nor with CLEW_",
)
_ZONE_NAME = Text(
    about="the time zone, such as Europe/Berlin; UTC if not given",
    pattern=r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,2}",
    rule="write a name of the time zone database, such as UTC or America/New_York",
)

_ELEMENT = Record(
    about="an element of a path",
    keys={
        "match": Key(Text(about="what it must be; {name} inserts a value"), required=True),
        "type": Key(Choice(("exact", "regex"), about="how it is compared; exact if not given")),
        "multiple": Key(
            Choice(("min", "max", "newest", "oldest", "all"), about="which to take where several match")
        ),
    },
)
PREFIX = ListOf(_ELEMENT, about="the elements that follow each other in the path", least=1, placed=True)
_FILE = Record(
    about="a file of a bucket",
    keys={
        "bucket": Key(Text(about="a bucket's name in the settings, or a URL"), required=True),
        "prefix": Key(PREFIX, required=True),
        "stable_for": Key(
            Duration(about="take an object only once it has been seen unchanged for so long", least=1)
        ),
    },
)
_INPUT = Record(
    about="something that a person or a system supplies while the run goes on",
    keys={
        "kind": Key(Choice(("input",)), required=True),
        "schema": Key(Schema(about="what it must be; anything if not given")),
        "deadline": Key(Duration(about="how long it is waited for; no limit if not given", least=1)),
    },
)
_OTHER_PROGRAM = Key(Text(about="the program's name"), required=True)
_VARIABLE = Record(
    about="a value that the latest completed run of a program has left",
    keys={
        "kind": Key(Choice(("variable",)), required=True),
        "program": _OTHER_PROGRAM,
        "output": Key(Text(about="the output of one of its stages"), required=True),
        "default": Key(Anything(about="its value where no such run has left one yet")),
    },
)
_PROGRAM = Record(
    about="a program's run has completed",
    keys={
        "kind": Key(Choice(("program",)), required=True),
        "program": _OTHER_PROGRAM,
        "offset": Key(
            Duration(
                about="from this run's scheduled time to that one's; its latest run if not given", least=None
            )
        ),
    },
)
_RESOURCE = Record(
    about="enough of this machine is free",
    keys={
        "kind": Key(Choice(("resource",)), required=True),
        "cores": Key(Anything(about="how many")),
        "memory": Key(Anything(about="such as 4 GiB")),
        "disk": Key(Anything(about="such as 100 GB")),
        "folder": Key(Text(about="whose disk it is; that of temporary files if not given")),
    },
)
_INFRASTRUCTURE = Record(
    about="something answers at an address",
    keys={
        "kind": Key(Choice(("infrastructure",)), required=True),
        "url": Key(Text(about="an http or https address")),
        "host": Key(Text(about="or a host's name or address")),
        "port": Key(Anything(about="with its port")),
        "timeout": Key(Text(about="for the answer; 5 seconds if not given")),
    },
    later=("emr", "ray"),
)
_KINDS = {
    "input": _INPUT,
    "variable": _VARIABLE,
    "program": _PROGRAM,
    "resource": _RESOURCE,
    "infrastructure": _INFRASTRUCTURE,
}
KINDS = tuple(_KINDS)
"""The kinds of dependency that clew brings along; a file says none."""

ABOUT_KINDS = (
    f"it is a file (bucket and prefix), or its kind is {', '.join(_KINDS)}, a plug-in's, or module:function"
)
_FUNCTION = r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*"
_PLUG_IN = Record(
    about="what a plug-in finds",
    keys={
        "kind": Key(
            Text(
                about="a plug-in's name, or module:function of the project's own",
                pattern=rf"(?!(?:{'|'.join(_KINDS)})$)(?:[a-z][a-z0-9_-]{{0,99}}|{_FUNCTION})",
                rule=ABOUT_KINDS,
            ),
            required=True,
        ),
        "params": Key(
            MappingOf(Anything(), about="what it is given; {name} inserts a value, secret:NAME a secret")
        ),
        "timeout": Key(Duration(about="for its answer; 30 seconds if not given", least=1)),
    },
)
DEPENDENCIES = NamedItems(
    OfKind(_FILE, _KINDS, other=_PLUG_IN, about=ABOUT_KINDS),
    VARIABLE_NAME,
    about="what it waits for, by name",
)
_OUTPUT = Record(
    about="an output",
    keys={
        "from": Key(Text(about="stdout, or a name within the result")),
        "default": Key(Anything(about="its value where the stage is skipped")),
    },
)
RETRY = Defined(
    "retry",
    Record(
        about="how often an attempt is made, and how long clew waits in between",
        keys={
            "attempts": Key(
                Whole(1, _ATTEMPTS_MAX, about="how many, the first one included; 1 if not given")
            ),
            "delay": Key(Duration(about="before the second attempt; 5 seconds if not given")),
            "growth": Key(
                Number(1, _GROWTH_MAX, about="the factor by which each further delay grows; 2 if not given")
            ),
            "maximum_delay": Key(Duration(about="5 minutes if not given")),
            "jitter": Key(Flag(about="vary the delays by chance; true if not given")),
            "on": Key(
                BySort(
                    Text(about="any"),
                    items=ListOf(Text(), least=1),
                    about="any, or the kinds of error that are worth another attempt",
                )
            ),
        },
    ),
)
DELAY = BySort(
    Duration(least=1),
    mapping=Record(
        about="growing delays",
        keys={
            "first": Key(Duration(about="the first delay; 5 minutes if not given", least=1)),
            "growth": Key(
                Number(1, _GROWTH_MAX, about="the factor by which each further delay grows; 1 if not given")
            ),
            "maximum": Key(Duration(about="the longest delay; none if not given", least=1)),
        },
    ),
    about="how long clew waits before it looks again for a missing dependency; 5 minutes if not given",
)
_ENVIRONMENT = MappingOf(
    Text(),
    name=_ENVIRONMENT_NAME,
    about="environment variables; {name} inserts a value, secret:NAME a secret",
)
SOURCE = BySort(
    Text(about="a folder of a bucket: bucket/folder/, or a URL"),
    mapping=Record(
        about="a folder of a bucket, or a git commit",
        keys={
            "bucket": Key(Text(about="a bucket's name in the settings, or a URL")),
            "git": Key(
                Text(about="a git repository's address: https:, ssh:, or a path; no credentials in it")
            ),
            "commit": Key(
                Text(
                    about="the commit's full id",
                    pattern=rf"{COMMIT}|[^{{]*\{{[^{{].*",
                    rule=COMMIT_RULE,
                )
            ),
            "folder": Key(Text(about="where in it the code is; all of it if not given")),
        },
        one_of=("bucket", "git"),
        goes_with={"git": "commit", "commit": "git"},
        extra=lambda: {"not": {"required": ["bucket", "git"]}},
    ),
    about="the code that its commands run: fetched before each attempt, which then runs where that code is",
)
_EXECUTOR = Choice(
    ("local", "inline"),
    about="where the work runs; local if not given",
    later=("ray", "dask", "emr", "emr_serverless"),
)
_TIMEOUT = Duration(about="for one attempt; 1 hour if not given", least=1)
_NAMES = ListOf(VARIABLE_NAME, placed=True)
_FOR_ALL_STAGES = {
    "retry": Key(RETRY),
    "timeout": Key(_TIMEOUT),
    "delay": Key(DELAY),
    "executor": Key(_EXECUTOR),
    "environment": Key(_ENVIRONMENT),
}

_EXPRESSION = Text(
    about="a cron expression: minute, hour, day of the month, month, day of the week; or @daily"
)
TIMING_KEYS = {
    "cadence": Key(
        BySort(
            Text(about="a cron expression, once, or a date and a time"),
            items=ListOf(
                BySort(
                    _EXPRESSION,
                    items=ListOf(_EXPRESSION, least=1, placed=True),
                    about="a row: due when all of its columns match",
                ),
                least=1,
                placed=True,
            ),
            about="when it is due: rows of cron expressions, any of which suffices; only on request if not given",
        )
    ),
    "initial": Key(
        Text(about="the first time due, such as 2026-01-01 13:00; or when a window opens, such as Mon 21:00")
    ),
    "final": Key(
        Text(about="the last time due, such as 2026-06-24 20:00; or when a window closes, such as Tue 05:00")
    ),
    "clock_change": Key(
        Record(
            about="what becomes of times that a change of clocks skips, or shows twice",
            keys={
                "gap": Key(
                    Choice(
                        ("next", "skip"), about="a time that clocks skip; next, after the gap, if not given"
                    )
                ),
                "twice": Key(
                    Choice(("first", "second", "both"), about="a time shown twice; first if not given")
                ),
            },
        )
    ),
}

# More runs of one program at the same time than one machine holds attempts.
_ACTIVE_RUNS_MAX = 10_000
LIMIT_KEYS = {
    "backfill": Key(
        Duration(
            about="how far back missed times count, and how long data is waited for, from the scheduled time",
            least=1,
            looks_back=True,
        )
    ),
    "monitor": Key(
        BySort(
            Duration(about="how long an unfinished run is driven", least=1),
            mapping=Record(
                about="how long an unfinished run, the execution of a stage and its validation are driven",
                keys={
                    "run": Key(Duration(about="the run, from its launch", least=1)),
                    "execution": Key(
                        Duration(about="a stage's attempts, from the first one's start", least=1)
                    ),
                    "validation": Key(Duration(about="a stage's validation, from when it executed", least=1)),
                },
                one_of=("run", "execution", "validation"),
            ),
            about="when what is unfinished is stopped and rolled back; never if not given",
        )
    ),
}
_KEPT = Duration(about="how long after its end, or forever", least=1, may_be_forever=True)
PACE_KEYS = {
    **LIMIT_KEYS,
    "on_missed": Key(
        Choice(
            ("record", "backfill"),
            about="what becomes of times that were missed: a record, which is what happens if not given, or a run",
        )
    ),
    "max_active_runs": Key(
        Whole(1, _ACTIVE_RUNS_MAX, about="how many runs at the same time; 1 with a cadence, else no limit")
    ),
    "run_order": Key(
        Choice(
            ("any", "scheduled"),
            about="scheduled: each run starts when the one before it has settled; any if not given",
        )
    ),
    "overlap": Key(
        Choice(
            ("queue", "skip", "cancel"),
            about="what is done with a due run while there is no place for it; queue if not given",
        )
    ),
    "retention": Key(
        BySort(
            _KEPT,
            mapping=Record(
                about="how long after their end runs are kept, by status",
                keys={status: Key(_KEPT) for status in SETTLED_STATUSES},
                one_of=SETTLED_STATUSES,
            ),
            about="how long runs are kept that have settled; as the settings say if not given, or for good",
        )
    ),
}
PACE_GOES_WITH = {"on_missed": "cadence", "overlap": "cadence"}


_COMMAND_KEYS = {
    "command": Key(Text(about="the command's name"), required=True),
    "params": Key(Anything(about="a list or a mapping")),
}
_CONDITION_KEYS = {
    "condition": Key(Text(about="the condition's name"), required=True),
    "params": Key(Anything(about="a list or a mapping")),
    "maximum_time": Key(Duration(about="test again until it holds or this is over; once if not given")),
    "interval": Key(Duration(about="between two tests; 1 second if not given", least=1)),
    "reexecute": Key(Flag(about="execute the stage again between two tests; false if not given")),
}


def definitions(signatures: Signatures, conditions: Signatures) -> dict[str, Json]:
    """What the schema says once and refers to: JSON Schemas by name."""
    shapes = (RETRY, _command(signatures), _condition(conditions))
    return {one.name: one.definition() for one in shapes}


def program_record(signatures: Signatures, conditions: Signatures) -> Record:
    """The shape of a whole program document, given the commands and conditions that there are."""
    condition = _condition(conditions)
    return Record(
        about="a program of clew",
        keys={
            "name": Key(PROGRAM_NAME, required=True),
            "stages": Key(
                NamedItems(
                    _stage(signatures, condition),
                    STAGE_NAME,
                    about="the stages: a list, or a mapping by name",
                ),
                required=True,
            ),
            "timezone": Key(_ZONE_NAME),
            **TIMING_KEYS,
            **PACE_KEYS,
            "custom_times": Key(
                MappingOf(
                    Pair(
                        Choice(("now", "run")),
                        Duration(least=None),
                        about="[now, 7 hours], or [run, -3 days]",
                    ),
                    name=VARIABLE_NAME,
                    about="names for offsets from now, or from run (the scheduled time)",
                )
            ),
            "variables": Key(
                MappingOf(
                    Anything(),
                    name=VARIABLE_NAME,
                    about="names with their values; a request may override them",
                )
            ),
            "requests": Key(
                MappingOf(
                    Schema(),
                    name=VARIABLE_NAME,
                    about="a JSON Schema for each variable a request may or must set",
                )
            ),
            "maintain_sequence": Key(
                Flag(about="keep the listed order, one stage a block; false if not given")
            ),
            "validate": Key(
                OneOrMore(condition, least=0, about="conditions over the outputs of several stages")
            ),
            **_FOR_ALL_STAGES,
        },
        later=("notify",),
        naming=("stages", "custom_times", "variables", "requests"),
        goes_with={"clock_change": "cadence", **PACE_GOES_WITH},
    )


def _stage(signatures: Signatures, condition: Defined) -> Record:
    command = _command(signatures)
    return Record(
        about="the unit of work",
        keys={
            "execute": Key(
                OneOrMore(command, about="the command that does the work, or several in order"), required=True
            ),
            "dependencies": Key(DEPENDENCIES),
            "inputs": Key(
                ListOf(VARIABLE_NAME, about="names it reads besides those it refers to", placed=True)
            ),
            "outputs": Key(NamedItems(_OUTPUT, VARIABLE_NAME, about="names it writes", bare=True)),
            "after": Key(
                ListOf(Text(), about="stages that come before it without giving it data", placed=True)
            ),
            "when": Key(Text(about="an expression; where it is false the stage is skipped")),
            "for_each": Key(
                BySort(
                    Text(),
                    items=ListOf(Anything(), most=ITEM_COUNT_MAX),
                    about="the values for each of which the stage is done: a {reference} to a list, or a list",
                )
            ),
            "max_parallel": Key(
                Whole(1, ITEM_COUNT_MAX, about="how many items at the same time; no limit if not given")
            ),
            "validate": Key(OneOrMore(condition, least=0, about="what must hold when it has executed")),
            "rollback": Key(rollback_shape(signatures)),
            "source": Key(SOURCE),
            **LIMIT_KEYS,
            **_FOR_ALL_STAGES,
        },
        later=("heartbeat", "resources", "pool", "type"),
        naming=("dependencies", "outputs"),
        goes_with={"max_parallel": "for_each"},
    )


def rollback_shape(signatures: Signatures) -> Shape:
    """The shape of a stage's rollback, in any of the ways to say it."""
    command = _command(signatures)
    return BySort(
        Choice(
            ("none", "impossible"), about="none: it leaves nothing to undo; impossible: a point of no return"
        ),
        mapping=Record(
            about="the command that undoes it, what is put back, where the run goes on from",
            keys={
                "command": Key(Text(about="the command's name; none if it leaves nothing to undo")),
                "params": _COMMAND_KEYS["params"],
                "commands": Key(OneOrMore(command, about="several commands, in order")),
                "restore": Key(
                    ListOf(
                        Text(),
                        about="places (bucket/key, or URLs) that are kept before it begins, and put back",
                        least=1,
                        most=_PLACES_MAX,
                        placed=True,
                    )
                ),
                "to": Key(Text(about="the stage back to which the run goes when this one fails for good")),
                "attempts": Key(
                    Whole(1, _ATTEMPTS_MAX, about="how often it goes back to that stage; 1 if not given")
                ),
                "on_failure": Key(
                    Choice(
                        ("hold", "continue"),
                        about="what becomes of the other rollbacks when this one fails; hold if not given",
                    )
                ),
                "retry": Key(RETRY),
                "timeout": Key(
                    Duration(about="for one attempt of the rollback; 1 hour if not given", least=1)
                ),
            },
            one_of=("command", "commands", "restore", "to"),
            goes_with={"params": "command", "attempts": "to"},
            extra=lambda: {
                **_params_by_name("command", signatures),
                "not": {"required": ["command", "commands"]},
            },
        ),
        items=OneOrMore(command),
        about="how it is undone: none, impossible, a command, several in order, or a mapping that says more",
    )


def _command(signatures: Signatures) -> Defined:
    record = Record(
        about="a command", keys=_COMMAND_KEYS, extra=lambda: _params_by_name("command", signatures)
    )
    return Defined("command", record)


def _condition(conditions: Signatures) -> Defined:
    record = Record(
        about="a condition", keys=_CONDITION_KEYS, extra=lambda: _params_by_name("condition", conditions)
    )
    return Defined("condition", record)


# ---- what only the schema says ---------------------------------------------------------------------------


def _params_by_name(key: str, signatures: Signatures) -> dict[str, Json]:
    """For each known name the params that it takes, as editors complete them."""
    if not signatures:
        return {}
    return {
        "allOf": [
            {
                "if": {"properties": {key: {"const": name}}, "required": [key]},
                "then": {"properties": {"params": _params(signature)}},
            }
            for name, signature in signatures.items()
        ]
    }


def _params(signature: Signature) -> dict[str, Json]:
    required = [name for name, param in signature.params.items() if param.required]
    mapping: dict[str, Json] = {
        "type": "object",
        "properties": {name: _param(param) for name, param in signature.params.items()},
        "additionalProperties": signature.open_params,
    }
    if required:
        mapping["required"] = required
    if not signature.positional and not signature.open_params:
        return {**mapping, "description": signature.about}
    return {"anyOf": [mapping, _params_list(signature)], "description": signature.about}


def _params_list(signature: Signature) -> dict[str, Json]:
    names = signature.positional
    takes_rest = not names or names[-1].endswith("*")
    single = names[:-1] if names and takes_rest else names
    listed: dict[str, Json] = {"type": "array"}
    if single:
        listed["prefixItems"] = [_param(signature.params[name]) for name in single]
    if not takes_rest:
        listed["maxItems"] = len(names)
    return listed


def _param(param: Param) -> dict[str, Json]:
    return {"description": param.about} if param.about else {}
