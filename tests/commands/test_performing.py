"""From names to commands: built in, of the project, of a package."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.commands.surroundings import Surroundings

from clew.commands import OWN_SIGNATURES, SIGNATURES
from clew.commands.interface import SIGNATURE, CommandError, CommandResult, command, limited
from clew.commands.performing import COMMANDS, find, perform
from clew.core.program.parse import parse
from clew.core.program.problems import ProgramError
from clew.core.program.signatures import Param


@pytest.fixture
def around(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_commands_of_test.py").write_text(
        "from clew.commands.interface import command\n"
        "from clew.core.program.signatures import Param\n"
        "@command(about='Double it.', params={'n': Param(required=True)}, positional=('n',))\n"
        "def double(context, params): return params['n'] * 2\n"
        "def plain(context, params): return dict(params)\n"
        "value = 1\n"
    )
    info = tmp_path / "plugged-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[clew.commands]\ndouble_it = own_commands_of_test:double\n")
    yield Surroundings(tmp_path)
    sys.modules.pop("own_commands_of_test", None)


def test_every_signature_has_its_function():
    """All that is built in can be found, under its name and its synonyms, and nothing else is."""
    signatures = {**SIGNATURES, **OWN_SIGNATURES}
    for name, signature in signatures.items():
        found, function = find(name)
        assert found is signature
        assert callable(function)
    assert COMMANDS.keys() == {signature.name for signature in signatures.values()}


def test_no_program_names_a_command_that_clew_alone_orders():
    """What clew orders by itself is, for a program, no command, and no hint leads there."""
    for name in OWN_SIGNATURES:
        assert name not in SIGNATURES
        stages = {"a": {"execute": {"command": name}}}
        with pytest.raises(ProgramError, match=f"there is no command '{name}'"):
            parse({"name": "p", "stages": stages}, SIGNATURES, {})


def test_a_project_brings_its_own(around):
    """A function `module:function` is a command, with the signature it carries or with any params."""
    with around.context() as context:
        assert perform("own_commands_of_test:double", ["{n}"], context, {"n": 4}) == CommandResult(8)
        assert perform("own_commands_of_test:plain", {"a": "{n}"}, context, {"n": 4}) == CommandResult(
            {"a": 4}
        )


def test_a_package_brings_its_own(around):
    """A command of an installed package is found by its entry point."""
    signature, function = find("double_it")
    assert signature.about == "Double it."
    assert function.__name__ == "double"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("shel", "did you mean 'shell'?"),
        ("zzz", "come from packages, or as module:function"),
        ("nowhere_at_all:f", "there is no command 'nowhere_at_all:f'"),
        ("own_commands_of_test:nothing", "there is no command"),
        ("own_commands_of_test:value", "is no function"),
    ],
)
def test_an_unknown_command_is_told(around, name, text):
    """What is no command says what would be right."""
    with pytest.raises(CommandError) as raised:
        find(name)
    assert raised.value.kind == "unknown_command"
    assert text in raised.value.message


def test_a_function_carries_what_it_takes():
    """The decorator says params, or that any are taken."""

    @command(about="Any.", name="other")
    def anything(context, params):
        return None

    @command(about="One.", params={"a": Param()}, positional=("a",), leaves_nothing=True)
    def one(context, params):
        return None

    assert (getattr(anything, SIGNATURE).name, getattr(anything, SIGNATURE).open_params) == ("other", True)
    signature = getattr(one, SIGNATURE)
    assert (signature.name, signature.open_params, signature.leaves_nothing) == ("one", False, True)


def test_waiting_needs_a_duration(around):
    """`wait` takes a length of time that is not negative, and leaves nothing."""
    assert SIGNATURES["wait"].leaves_nothing
    with around.context() as context:
        assert perform("wait", ["1 ms"], context, {}) == CommandResult(None)
        for wrong in (["-1 second"], [5]):
            with pytest.raises(CommandError) as raised:
                perform("wait", wrong, context, {})
            assert raised.value.kind == "params"


def test_messages_are_cut_where_they_are_too_long():
    """A text that is too long ends in an ellipsis."""
    assert limited("abc", 3) == "abc"
    assert limited("abcd", 3) == "ab…"


def test_the_tables_cost_next_to_nothing():
    """Reading what commands and conditions take imports none of them, nor any library but msgspec."""
    code = (
        "import sys, clew.commands, clew.conditions\n"
        "heavy = {'apsw', 'urllib3', 're2', 'cel', 'jsonschema_rs', 'yaml', 'subprocess', 'asyncio'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
