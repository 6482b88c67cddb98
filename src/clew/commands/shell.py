"""`shell`: a program with its arguments, or, when it is asked for, a line of the shell.

The child belongs to the attempt's process group, starts in its folder and sees its environment, nothing else.
Its result is the JSON that it writes to the file named in `CLEW_OUTPUT`, if it writes any.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from clew.commands.interface import CommandContext, CommandError, CommandResult, limited
from clew.ports import Json

SHELL = "/bin/sh"
OUTPUT = "CLEW_OUTPUT"
SHOWN_MAX = 200
"""Characters of a command line in a message: enough to know it again."""

_CHUNK_SIZE = 64 * 1024


def shell(context: CommandContext, params: Mapping[str, Json]) -> CommandResult:
    """Fails with `exit` when the exit code is not 0, with `signal` when a signal ended it, with `not_started`
    when there is no such program, with `output` when what it gives back is too large or no JSON."""
    arguments = _arguments(params)
    output = context.environment.get(OUTPUT) or os.path.join(context.work_folder, "output.json")
    with suppress(FileNotFoundError):
        os.unlink(output)  # an earlier command of this attempt may have written one
    with _standard_input(params) as given:
        code, stdout = _run(context, arguments, output, given)
    _check_exit(arguments, code)
    return CommandResult(_result(output, context.output_size_max), stdout)


def _arguments(params: Mapping[str, Json]) -> list[str]:
    line = params["command"]
    if params.get("shell"):
        if isinstance(line, list) and len(line) == 1:
            line = line[0]
        if not isinstance(line, str):
            raise CommandError("params", "with `shell: true` the command is one text")
        return [SHELL, "-c", line]
    if isinstance(line, str):
        raise CommandError(
            "params", "a command is a list of arguments; a line of the shell needs `shell: true`"
        )
    flat: list[Json] = []
    for argument in line:
        flat.extend(argument if isinstance(argument, list) else [argument])
    arguments = [_text(argument) for argument in flat]
    if not arguments or not arguments[0]:
        raise CommandError("params", "the command is empty; its first item is the program to run")
    return arguments


def _text(value: Json) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if "\0" in text:
        raise CommandError("params", "an argument holds a zero character, which no program can be given")
    return text


@contextmanager
def _standard_input(params: Mapping[str, Json]) -> Iterator[int]:
    """A file to read from rather than a pipe to feed: nobody has to wait for the child to read."""
    given = params.get("input")
    if given is None:
        file = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    else:
        file = os.memfd_create("input", os.MFD_CLOEXEC)
    try:
        if given is not None:
            _write(file, (given if isinstance(given, str) else json.dumps(given)).encode())
            os.lseek(file, 0, os.SEEK_SET)
        yield file
    finally:
        os.close(file)


def _run(context: CommandContext, arguments: list[str], output: str, given: int) -> tuple[int, str | None]:
    try:
        process = subprocess.Popen(
            arguments,
            stdin=given,
            stdout=subprocess.PIPE if context.captures_stdout else context.stdout,
            stderr=context.stderr,
            env={**context.environment, OUTPUT: output},
        )
    except (OSError, ValueError) as error:
        raise CommandError(
            "not_started", f"'{limited(arguments[0], SHOWN_MAX)}' can't be run: {error}"
        ) from error
    try:
        stdout = _captured(process, context) if context.captures_stdout else None
        return process.wait(), stdout
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        if process.stdout:
            process.stdout.close()


def _captured(process: subprocess.Popen[bytes], context: CommandContext) -> str:
    """Standard output to its end, which goes to the log as it comes."""
    assert process.stdout is not None, "the process was started with a pipe"
    captured = bytearray()
    while chunk := os.read(process.stdout.fileno(), _CHUNK_SIZE):
        _write(context.stdout, chunk)
        captured += chunk
        if len(captured) > context.output_size_max:
            what = f"its standard output has more than the {context.output_size_max} bytes an output may have"
            raise CommandError("output", what)
    # As a shell does it: the newline at the end belongs to the line, not to the value.
    return captured.decode("utf-8", "replace").rstrip("\n")


def _write(file: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(file, rest) :]


def _check_exit(arguments: list[str], code: int) -> None:
    shown = limited(arguments[2] if arguments[:2] == [SHELL, "-c"] else arguments[0], SHOWN_MAX)
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = "no name"  # a real-time signal
        raise CommandError("signal", f"'{shown}' was ended by signal {-code} ({name})")
    if code > 0:
        raise CommandError("exit", f"'{shown}' ended with exit code {code}")


def _result(path: str, size_max: int) -> Json:
    try:
        with open(path, "rb") as file:
            content = file.read(size_max + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CommandError("output", f"what {OUTPUT} names can't be read: {error.strerror}") from error
    if len(content) > size_max:
        raise CommandError("output", f"the result in {OUTPUT} has more than the {size_max} bytes it may have")
    try:
        return json.loads(content, parse_constant=_refuse) if content.strip() else None
    except (ValueError, RecursionError) as error:
        raise CommandError("output", f"the result in {OUTPUT} is no JSON: {error}") from error


def _refuse(constant: str) -> Json:
    raise ValueError(f"{constant} is no JSON number")
