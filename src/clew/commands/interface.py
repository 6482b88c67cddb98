"""What a command is: one function that is given its surroundings and its params, and gives back JSON.

    @command(about="Make a picture smaller.", params={"of": Param(required=True)}, positional=("of",))
    def shrink(context: CommandContext, params: Mapping[str, Json]) -> Json: ...

It may be `async`. It says that it failed by raising `CommandError` (or anything else). A package offers its
commands by entry points of the group `clew.commands`; a project's own are named `module:function`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from clew.core.program.signatures import Param, Signature
from clew.ports import Bucket, Json

SIGNATURE = "clew_signature"
"""The attribute of a function that carries its signature."""

Function = TypeVar("Function", bound=Callable[..., Json])


class CommandError(Exception):
    """The command did not do its work. `kind` is a short name to match `retry.on`, `detail` may be long."""

    def __init__(self, kind: str, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.detail = detail


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What came of a command: its value, and its standard output if that was to be captured."""

    value: Json = None
    stdout: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandContext:
    """The surroundings of one piece of work. Open handles and callables in it belong to the attempt."""

    program: str
    run_id: str
    stage: str
    attempt: int
    idempotency_key: str
    """The same in every attempt of the stage (or rollback) in this pass."""
    bucket: Callable[[str], Bucket]
    """Opens a bucket by its name or URL. Raises BucketError."""
    work_folder: str
    """The attempt's own folder, which is gone afterwards."""
    folder: str = ""
    """What relative paths in `sqlite:` URLs start from; empty for the current one."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """All that a process started by the command may see of the environment."""
    inputs: Mapping[str, Json] = field(default_factory=dict)
    """The values that a Python function may ask for by the names of its parameters."""
    output_size_max: int = 16 * 1024 * 1024
    """In bytes, of what the command gives back."""
    captures_stdout: bool = False
    """Whether an output comes from standard output, which then goes to the log and into the result."""
    stdout: int = 1
    stderr: int = 2
    """File descriptors of the attempt's log."""
    outcome: str | None = None
    """For a rollback: how the stage ended. None otherwise."""
    attempts: Json = None
    """For a rollback: the stage's attempts."""
    rollback_idempotency_key: str | None = None
    """For a rollback: a key of its own, the same in every try. `idempotency_key` is the stage's there too."""
    kept: Sequence[Mapping[str, Json]] = ()
    left: Mapping[str, str | None] | None = None
    kept_bucket: str = ""
    """For a rollback that puts objects back: what is kept, how the stage left it, and where. As in
    `ports.AttemptRequest`."""


def command(
    *,
    about: str,
    params: Mapping[str, Param] | None = None,
    positional: tuple[str, ...] = (),
    leaves_nothing: bool = False,
    name: str = "",
) -> Callable[[Function], Function]:
    """Say what a command takes. Without `params` it takes any, by name."""

    def carry(function: Function) -> Function:
        signature = Signature(
            name=name or function.__name__,
            about=about,
            params=params or {},
            positional=positional,
            open_params=params is None,
            leaves_nothing=leaves_nothing,
        )
        setattr(function, SIGNATURE, signature)
        return function

    return carry


def limited(text: str, size_max: int) -> str:
    """The text, cut where it would be longer than that many characters."""
    return text if len(text) <= size_max else f"{text[: size_max - 1]}…"
