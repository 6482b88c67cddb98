"""`shell`: programs with their arguments, and lines of the shell when they are asked for."""

from __future__ import annotations

import os
import signal
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.commands.surroundings import Surroundings

from clew.commands.interface import CommandError
from clew.commands.performing import perform


@pytest.fixture
def around(tmp_path):
    return Surroundings(tmp_path)


def do(around, params, scope=None, **changes):
    with around.context(**changes) as context:
        return perform("shell", params, context, scope or {})


def failure(around, params, scope=None, **changes):
    with pytest.raises(CommandError) as raised:
        do(around, params, scope, **changes)
    return raised.value


def test_arguments_never_meet_a_shell(around):
    """What a value holds is one argument, whatever it looks like; a list stands for several."""
    scope = {"evil": "a b; echo $HOME `id` 'x'", "files": ["one", "two words"], "n": 7, "record": {"a": [1]}}
    code = "import sys; print(sys.argv[1:])"
    result = do(
        around,
        [sys.executable, "-c", code, "{evil}", "{files}", "{n}", "{record}"],
        scope,
        captures_stdout=True,
    )
    assert result.stdout == str([scope["evil"], "one", "two words", "7", '{"a": [1]}'])


def test_a_shell_is_used_only_when_it_is_asked_for(around):
    """A line needs `shell: true`, and then its values are quoted."""
    line = {"command": "echo {v} | cat", "shell": True}
    assert do(around, line, {"v": "a; echo b"}, captures_stdout=True).stdout == "a; echo b"
    assert "needs `shell: true`" in str(failure(around, {"command": "echo a"}))
    assert "one text" in str(failure(around, {"command": ["a", "b"], "shell": True}))
    assert do(around, {"command": ["echo a | cat"], "shell": True}, captures_stdout=True).stdout == "a"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"]), max_size=30))
def test_no_value_breaks_out_of_a_line_of_the_shell(around, value):
    """Whatever a variable holds, the shell takes it as one word and gives it back."""
    result = do(around, {"command": "printf '%s.' {v}", "shell": True}, {"v": value}, captures_stdout=True)
    assert result.stdout == f"{value}."


def test_standard_output_goes_to_the_log_and_where_asked_into_the_result(around):
    """Output and error are in the log in both cases; the result has the output without its last newline."""
    command = ["sh", "-c", "echo out; echo err >&2"]
    assert do(around, command).stdout is None
    assert do(around, command, captures_stdout=True).stdout == "out"
    assert sorted(around.log.read_text().split()) == ["err", "err", "out", "out"]


def test_the_result_is_what_is_written_to_the_output_file(around):
    """JSON in the file named in CLEW_OUTPUT is the result; an earlier command's is not."""
    write = ["sh", "-c", "echo '{json}' > \"$CLEW_OUTPUT\""]
    assert do(around, write, {"json": '{"a": [1, null]}'}).value == {"a": [1, None]}
    assert do(around, ["true"]).value is None
    assert do(around, ["sh", "-c", ': > "$CLEW_OUTPUT"']).value is None


def test_a_named_output_file_is_used(around):
    """Where the environment names the file already, that one is read."""
    environment = {"PATH": os.environ["PATH"], "CLEW_OUTPUT": str(around.folder / "named.json")}
    write = ["sh", "-c", 'echo 1 > "$CLEW_OUTPUT"']
    assert do(around, write, environment=environment).value == 1
    assert (around.folder / "named.json").exists()


@pytest.mark.parametrize("text", ["{", "NaN", "[" * 100_000])
def test_a_result_that_is_no_json_fails(around, text):
    """What can't be read as JSON is told."""
    (around.folder / "text").write_text(text)
    error = failure(around, ["sh", "-c", f'cat {around.folder}/text > "$CLEW_OUTPUT"'])
    assert error.kind == "output"
    assert "is no JSON" in error.message


def test_output_is_bounded(around):
    """More than an output may have fails, from standard output as from the file, and ends the program."""
    error = failure(around, ["sh", "-c", "yes"], captures_stdout=True, output_size_max=1000)
    assert (error.kind, "1000 bytes" in error.message) == ("output", True)
    error = failure(around, ["sh", "-c", 'yes | head -c 2000 > "$CLEW_OUTPUT"'], output_size_max=1000)
    assert (error.kind, "1000 bytes" in error.message) == ("output", True)


def test_an_output_that_can_not_be_read_is_told(around):
    """A folder in place of the file is a failure and no empty result."""
    error = failure(around, ["sh", "-c", 'mkdir "$CLEW_OUTPUT"'])
    assert (error.kind, "can't be read" in error.message) == ("output", True)


@pytest.mark.parametrize(
    ("params", "kind", "text"),
    [
        (["sh", "-c", "exit 3"], "exit", "'sh' ended with exit code 3"),
        ({"command": "exit 4", "shell": True}, "exit", "'exit 4' ended with exit code 4"),
        (["sh", "-c", "kill -TERM $$"], "signal", "signal 15 (SIGTERM)"),
        (["sh", "-c", "kill -40 $$"], "signal", "signal 40"),
        (["/nowhere/at/all"], "not_started", "can't be run"),
        ([], "params", "shell needs 'command'"),
        ([""], "params", "the command is empty"),
        (["a\0b"], "params", "zero character"),
    ],
)
def test_a_failure_says_what_happened(around, params, kind, text):
    """Exit codes, signals, missing programs and bad params have kinds of their own."""
    error = failure(around, params)
    assert error.kind == kind
    assert text in error.message


def test_only_the_given_environment_is_seen(around, monkeypatch):
    """The program sees the attempt's environment, not that of the process that starts it."""
    monkeypatch.setenv("TOKEN", "t")
    environment = {"PATH": os.environ["PATH"], "GIVEN": "g"}
    result = do(around, ["env"], environment=environment, captures_stdout=True)
    names = {line.partition("=")[0] for line in result.stdout.splitlines()}
    assert names - {"PWD", "SHLVL", "_"} == {"PATH", "GIVEN", "CLEW_OUTPUT"}


def test_standard_input_is_what_is_given_or_nothing(around):
    """Text is read as it is, other values as JSON, and without input there is nothing to read."""
    cat = {"command": ["cat"]}
    assert do(around, cat, captures_stdout=True).stdout == ""
    assert (
        do(around, {**cat, "input": "{v}"}, {"v": "x" * 200_000}, captures_stdout=True).stdout
        == "x" * 200_000
    )
    assert do(around, {**cat, "input": "{v}"}, {"v": [1]}, captures_stdout=True).stdout == "[1]"


def test_the_program_belongs_to_the_group_of_the_attempt(around):
    """Who ends the attempt's group ends the program too."""
    code = "import os; print(os.getpgid(0))"
    result = do(around, [sys.executable, "-c", code], captures_stdout=True)
    assert result.stdout == str(os.getpgid(0))


def test_an_interrupted_attempt_leaves_no_program(around):
    """When waiting for the program is interrupted, the program is killed and reaped."""
    answers = around.folder / "answers"
    os.mkfifo(answers)
    answer = os.open(answers, os.O_RDWR)
    interrupted = []

    def interrupt(number, frame):
        if frame.f_code.co_name not in ("wait", "_wait", "_try_wait"):  # it came too soon
            os.write(answer, b"\n")  # upon which the program sends another: never two at once
        elif not interrupted:
            interrupted.append(number)  # not SIG_IGN: Python complains of a signal that is on its way then
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            send = f"while kill -USR1 {os.getpid()} && read answer; do :; done < {answers}"
            do(around, ["sh", "-c", f"echo $$ > {around.folder}/pid; {send}"])
    finally:
        signal.signal(signal.SIGUSR1, before)
        os.close(answer)
    with pytest.raises(ProcessLookupError):
        os.kill(int((around.folder / "pid").read_text()), 0)
