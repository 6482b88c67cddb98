from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.program.other_kinds import OTHER_KINDS
from tests.core.program.tables import COMMANDS, CONDITIONS

from clew.core.program.content import content, version
from clew.core.program.durations import DURATION_MILLISECONDS_MAX, written_duration
from clew.core.program.model import Command, Program, Retry, Rollback, Stage
from clew.core.program.parse import parse
from clew.core.program.problems import ProgramError
from clew.core.sealing.canonical import canonical_bytes

_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False).filter(
        lambda value: abs(value) < 2**53 or abs(value) >= 1e21
    )
    | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_PLAIN = st.text(alphabet="abc é/.", min_size=1, max_size=8)
_LENGTH = st.integers(1, DURATION_MILLISECONDS_MAX).map(written_duration)


def _some(required: dict[str, Any], **optional: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(required, optional=optional)


_RETRY = _some(
    {},
    attempts=st.integers(1, 9),
    delay=_LENGTH,
    growth=st.sampled_from([1, 1.5, 2.0]),
    maximum_delay=_LENGTH,
    jitter=st.booleans(),
    on=st.sampled_from(["any", "exit", ["exit", "timed_out"]]),
)
_COMMAND = st.one_of(
    _some({"command": st.sampled_from(["note", "write_note"])}, params=st.lists(_PLAIN, max_size=1)),
    _some({"command": st.just("plug")}, params=st.lists(_PLAIN) | st.dictionaries(_PLAIN, _PLAIN)),
    st.just({"command": "wait", "params": {"duration": "1 s"}}),
)
_CONDITION = _some(
    {"condition": st.just("matches"), "params": st.tuples(_PLAIN, _PLAIN).map(list)},
    maximum_time=_LENGTH,
    interval=_LENGTH,
    reexecute=st.booleans(),
)
_FILE = _some(
    {
        "bucket": _PLAIN,
        "prefix": st.lists(
            _some({"match": st.just("x")}, multiple=st.sampled_from(["min", "max"])), min_size=1
        ),
    },
    stable_for=_LENGTH,
)
_INPUT = _some(
    {"kind": st.just("input")}, schema=st.just({"type": "boolean"}) | st.booleans(), deadline=_LENGTH
)
_COMMANDS = st.lists(_COMMAND, min_size=1, max_size=2)
_PLACES = st.lists(st.sampled_from(["b/k", "b/{region}", "file:/f/k"]), min_size=1, max_size=2)
_FOR_EACH = st.just({}) | _some(
    {"for_each": st.sampled_from(["{region}", [], ["x", "{region}", {"y": ["{region}"]}]])},
    max_parallel=st.integers(1, 9),
)


def _rollbacks(*targets: str) -> st.SearchStrategy[Any]:
    """Rollbacks in any of the ways to say them; those that go back go to one of the targets."""
    how = {"retry": _RETRY, "timeout": _LENGTH, "on_failure": st.sampled_from(["hold", "continue"])}
    undoing = st.one_of(
        _some({"commands": _COMMANDS}, restore=_PLACES, **how),
        _some({"command": st.just("plug")}, params=st.just({"a": 1}), restore=_PLACES, **how),
        _some({"restore": _PLACES}, **how),
    )
    back = _some({"to": st.sampled_from(targets)}, attempts=st.integers(1, 9))
    return st.one_of(
        st.sampled_from(["none", "impossible", {"command": "none"}]),
        _COMMAND,
        _COMMANDS,
        undoing,
        back,
        back.map(lambda said: {"command": "none", **said}),
        st.tuples(undoing, back).map(lambda both: both[0] | both[1]),
    )


_SOURCE = st.one_of(
    st.sampled_from(["code/jobs/", "s3://code/jobs", "{region}"]),
    _some({"bucket": _PLAIN}, folder=_PLAIN),
    _some(
        {"git": st.just("git@host:code"), "commit": st.sampled_from(["{region}", "0f" * 20])},
        folder=st.just("x/y"),
    ),
)

_FOR_ALL = {
    "retry": _RETRY,
    "timeout": _LENGTH,
    "delay": _LENGTH | _some({}, first=_LENGTH, growth=st.sampled_from([1, 2]), maximum=_LENGTH),
    "executor": st.sampled_from(["local", "inline"]),
    "environment": st.dictionaries(st.sampled_from(["A", "B"]), _PLAIN),
}


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Program documents without mistakes, in any of the ways to write them."""
    stages = {}
    for at in range(draw(st.integers(1, 3))):
        outputs = draw(
            st.sampled_from([[f"x{at}"], {f"x{at}": {"from": "stdout"}}, {f"x{at}": {"default": None}}])
        )
        stages[f"s{at}"] = draw(_FOR_EACH) | draw(
            _some(
                {
                    "execute": _COMMAND | st.lists(_COMMAND, min_size=1, max_size=2),
                    "outputs": st.just(outputs),
                },
                dependencies=st.tuples(_FILE, _INPUT).map(
                    lambda both, at=at: {f"f{at}": both[0], f"i{at}": both[1], f"e{at}": both[0]}
                ),
                when=st.just("true"),
                inputs=st.just(["region"]),
                after=st.just([f"s{at - 1}"] if at else []),
                validate=_CONDITION | st.lists(_CONDITION, max_size=2),
                # The first stage is in the first block, whatever else there is.
                rollback=_rollbacks("s0", f"s{at}"),
                source=_SOURCE,
                **_FOR_ALL,
            )
        )
    as_list = [{"name": name, **stage} for name, stage in stages.items()]
    return draw(
        _some(
            {
                "name": st.just("p"),
                "stages": st.sampled_from([stages, as_list]),
                "variables": _JSON.map(lambda value: {"region": value}),
            },
            timezone=st.just("Europe/Berlin"),
            custom_times=st.permutations(["t", "u"]).map(
                lambda names: {name: ["now", "-1 hour"] for name in names}
            ),
            maintain_sequence=st.booleans(),
            requests=st.just({"day": {"type": "string"}}),
            **_FOR_ALL,
        )
    )


@settings(max_examples=50)
@given(documents())
def test_the_content_of_a_program_is_the_program(document: dict[str, Any]) -> None:
    """Reading a program's content gives the same program, also after it was stored as canonical bytes."""
    program = parse(document, COMMANDS, CONDITIONS)
    said = content(program)
    assert parse(said, COMMANDS, CONDITIONS) == program
    stored = json.loads(canonical_bytes(said))
    assert parse(stored, COMMANDS, CONDITIONS) == program
    assert version(parse(stored, COMMANDS, CONDITIONS)) == version(program)


def test_the_content_has_dependencies_of_every_kind() -> None:
    """Each as it can be read again; a default that is null is one."""
    program = parse(
        {"name": "p", "stages": {"a": {"execute": {"command": "note"}, "dependencies": OTHER_KINDS}}},
        COMMANDS,
        CONDITIONS,
    )
    said = content(program)
    assert {one.pop("name"): one for one in said["stages"][0]["dependencies"]} == {
        **OTHER_KINDS,
        "before": {"kind": "program", "program": "p", "offset": "-P1D"},
        "market": {"kind": "market", "params": {"code": ["{other}"]}, "timeout": "PT5S"},
        "own": {"kind": "lib.checks:is_open", "params": {}, "timeout": "PT30S"},
    }
    assert parse(content(program), COMMANDS, CONDITIONS) == program
    assert version(program) == "1f0e66a6550c39d42bc276a21b306b3cdb5ceb3bde6da89a0d7c322b788edc3d"


@settings(max_examples=30)
@given(documents(), st.randoms())
def test_the_order_of_keys_does_not_change_the_version(document: dict[str, Any], random: Any) -> None:
    """Two files that differ in the order of keys alone are one version."""
    shuffled = dict(random.sample(list(document.items()), len(document)))
    assert version(parse(shuffled, COMMANDS, CONDITIONS)) == version(parse(document, COMMANDS, CONDITIONS))


def test_what_means_the_same_is_one_version() -> None:
    """Defaults said or not, a list or a mapping, params by place or by name: the same version."""
    short = {"name": "p", "stages": {"a": {"execute": {"command": "write_note", "params": ["x"]}}}}
    long = {
        "name": "p",
        "timezone": "UTC",
        "timeout": "60 minutes",
        "validate": [],
        "stages": [
            {
                "name": "a",
                "execute": [{"command": "note", "params": {"text": "x"}}],
                "delay": "PT5M",
                "after": [],
            }
        ],
    }
    assert version(parse(short, COMMANDS, CONDITIONS)) == version(parse(long, COMMANDS, CONDITIONS))


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ({"command": "none"}, "none"),
        ({"command": "none", "to": "a"}, {"command": "none", "to": "a", "attempts": 1}),
        ({"restore": ["b/k"]}, {"restore": ["b/k"], "on_failure": "hold", "retry": {}, "timeout": "1 hour"}),
    ],
)
def test_a_rollback_that_means_the_same_is_one_version(short: Any, long: Any) -> None:
    """What a rollback does not say has defaults, which make no other version."""
    one, other = (
        parse(
            {"name": "p", "stages": {"a": {"execute": {"command": "note"}, "rollback": said}}},
            COMMANDS,
            CONDITIONS,
        )
        for said in (short, long)
    )
    assert version(one) == version(other)


@pytest.mark.parametrize(
    "rollback",
    [
        Rollback("impossible", to="a"),
        Rollback(attempts=2),
        Rollback("none", attempts=2),
        Rollback(on_failure="continue"),
        Rollback("none", retry=Retry(2)),
        Rollback(timeout_milliseconds=1),
        Rollback("commands"),
    ],
)
def test_the_content_hides_nothing_that_may_not_be_said(rollback: Rollback) -> None:
    """A model that no document can describe has a content that its reader refuses."""
    with pytest.raises(ProgramError):
        parse(
            content(Program("p", (Stage("a", (Command("note"),), rollback=rollback),))), COMMANDS, CONDITIONS
        )


def test_a_version_is_the_digest_of_the_canonical_content() -> None:
    """The version of this program stays what it is, or old runs would be of no version."""
    program = parse(
        {"name": "p", "stages": {"a": {"execute": {"command": "note", "params": ["é"]}}}},
        COMMANDS,
        CONDITIONS,
    )
    assert canonical_bytes(content(program)).decode() == (
        '{"custom_times":{},"maintain_sequence":false,"name":"p","requests":{},"stages":[{"after":[],'
        '"delay":{"first":"PT5M","growth":1},"dependencies":[],"environment":{},'
        '"execute":[{"command":"note","params":{"text":"é"}}],"executor":"local","inputs":[],"name":"a",'
        '"outputs":[],"retry":{"attempts":1,"delay":"PT5S","growth":2,"jitter":true,"maximum_delay":"PT5M",'
        '"on":["any"]},"timeout":"PT1H","validate":[]}],"timezone":"UTC","validate":[],"variables":{}}'
    )
    assert version(program) == "16a6182377394d899d98bb299cf05fa17a3c94435cabab0c03cd3ae0e084dc0b"
