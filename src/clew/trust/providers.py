"""Asks commands and plug-ins for secrets: each in a process of its own, within limits of time and size.

They have the orchestrator's environment, since that is where `pass` and `vault` find what they need; a stage has
nothing of it. Whatever they say beside the secret is dropped, for nobody could take the secret out of it: of one that
fails only the exit code is told, or the type of the exception and its place.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from time import monotonic

import msgspec

from clew.ports import SecretSource
from clew.trust.plug_in import Answer, Asked
from clew.trust.secrets import SECRET_SIZE_MAX, SecretError, without_newline

_PIECE_SIZE = 64 * 1024
_PLUG_IN = (sys.executable, "-P", "-m", "clew.trust.plug_in")
_ANSWER_SIZE_MAX = 6 * SECRET_SIZE_MAX + 16 * 1024
"""As JSON each byte of a secret may take six."""


def ask(source: SecretSource, name: str) -> str:
    """The value of the secret of that name, as the command or the plug-in gives it. Blocking. Raises SecretError."""
    return _of_plug_in(source, name) if source.kind == "plugin" else _of_command(source)


def find_fault(source: SecretSource, name: str) -> str | None:
    """Why the plug-in can't be loaded, None if it can: it is loaded for that, but not called. Blocking."""
    try:
        return (
            _answer(source, Asked(source.name, name, source.folder, source.params, is_called=False)).fault
            or None
        )
    except SecretError as error:
        return str(error)


def _of_command(source: SecretSource) -> str:
    # It may be another Python's script, which must not get this one's modules.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    # One byte more for each end of a line that is no part of it.
    content = _output_of(
        f"the command '{source.name}'",
        (source.name, *source.arguments),
        source,
        environment=environment,
        size_max=SECRET_SIZE_MAX + len("\r\n"),
    )
    try:
        value = without_newline(content.decode())
    except UnicodeDecodeError:
        raise SecretError(f"what the command '{source.name}' gave is no UTF-8 text") from None
    if len(value.encode()) > SECRET_SIZE_MAX:
        raise _too_long(f"the command '{source.name}'")
    return value


def _of_plug_in(source: SecretSource, name: str) -> str:
    answer = _answer(source, Asked(source.name, name, source.folder, source.params))
    if answer.fault:
        raise SecretError(answer.fault)
    if len(answer.value.encode("utf-8", "surrogatepass")) > SECRET_SIZE_MAX:
        raise _too_long(f"the plug-in '{source.name}'")
    return answer.value


def _answer(source: SecretSource, asked: Asked) -> Answer:
    who = f"the plug-in '{source.name}'"
    # Its modules are found where they would be found here.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    content = _output_of(
        who,
        _PLUG_IN,
        source,
        environment=environment,
        size_max=_ANSWER_SIZE_MAX,
        given=msgspec.json.encode(asked),
    )
    try:
        return msgspec.json.decode(content, type=Answer)
    except msgspec.DecodeError:
        raise SecretError(f"{who} ended without an answer") from None


def _output_of(
    who: str,
    command: Sequence[str],
    source: SecretSource,
    *,
    environment: Mapping[str, str],
    size_max: int,
    given: bytes | None = None,
) -> bytes:
    """All that it writes to its standard output until it ends, which it must do well."""
    process = _begun(who, command, source, environment, takes=given is not None)
    assert process.stdout is not None
    until = monotonic() + source.timeout_milliseconds / 1000
    try:
        if process.stdin is not None and given is not None:
            _give(process.stdin.fileno(), given)
            process.stdin.close()
        content = b""
        while select.select([process.stdout], [], [], max(0.0, until - monotonic()))[0]:
            piece = os.read(process.stdout.fileno(), _PIECE_SIZE)
            if not piece:
                _check_end(who, process.wait(max(0.0, until - monotonic())))
                return content
            content += piece
            if len(content) > size_max:
                raise _too_long(who)
        raise _late(who, source)
    except subprocess.TimeoutExpired:
        raise _late(who, source) from None
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        if process.stdin is not None:
            process.stdin.close()


def _begun(
    who: str, command: Sequence[str], source: SecretSource, environment: Mapping[str, str], *, takes: bool
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE if takes else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd=source.folder or None,
            bufsize=0,
        )
    except FileNotFoundError as error:
        if source.folder and not os.path.isdir(source.folder):
            raise SecretError(
                f"the folder '{source.folder}', in which {who} would run, is not there"
            ) from error
        raise SecretError(
            f"{who} is not found: install it, or say where it is with its whole path"
        ) from error
    except OSError as error:
        raise SecretError(f"{who} can't be run: {error.strerror}") from error


def _give(descriptor: int, given: bytes) -> None:
    view = memoryview(given)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except BrokenPipeError:
        pass  # how it ended says more


def _check_end(who: str, code: int) -> None:
    if code < 0:
        try:
            number = f"{-code} ({signal.Signals(-code).name})"
        except ValueError:
            number = str(-code)  # a real-time signal
        raise SecretError(f"{who} was ended by signal {number}")
    if code > 0:
        raise SecretError(f"{who} ended with exit code {code}; run it by hand to see what it says")


def _too_long(who: str) -> SecretError:
    return SecretError(f"{who} gave more than {SECRET_SIZE_MAX} bytes, which no secret has")


def _late(who: str, source: SecretSource) -> SecretError:
    seconds = source.timeout_milliseconds / 1000
    return SecretError(
        f"{who} did not answer within {seconds:g} seconds; nobody is there to ask, and a `timeout` may say more"
    )
