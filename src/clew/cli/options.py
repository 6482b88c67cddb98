"""The options that many verbs take."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from clew.cli.output import Output
from clew.core.program.model import Json
from clew.operations.requests import RequestError
from clew.settings import Settings, read_settings

Function = TypeVar("Function", bound=Callable[..., Any])

VARIABLES_SIZE_MAX = 16 * 1024 * 1024
"""As much as an attempt may give out: variables are values, bulk belongs into buckets."""


def store_options(function: Function) -> Function:
    """Where runs are kept: `--store`, `--settings`."""
    function = click.option("--settings", "settings_file", metavar="FILE",
                            help="Settings file, instead of ./clew.toml.")(function)  # fmt: skip
    return click.option("--store", metavar="URL", help="Where runs are kept: sqlite:///PATH.")(function)


def unsafe_option(function: Function) -> Function:
    """Whether a store is driven that is found unsafe: `--unsafe-store`."""
    return click.option("--unsafe-store", is_flag=True,
                        help="Drive runs though the store is unsafe (see `clew doctor`).")(function)  # fmt: skip


def bucket_option(function: Function) -> Function:
    return click.option("--bucket", "buckets", multiple=True, metavar="NAME=URL",
                        help="Where a bucket is, such as data=file:folder. Repeatable.")(function)  # fmt: skip


def variable_options(function: Function) -> Function:
    """The values of a request: `--var`, `--vars`."""
    function = click.option("--vars", "variables_file", metavar="FILE",
                            help="Variables as a JSON object in a file; --var overrules it.")(function)  # fmt: skip
    return click.option("--var", "variables", multiple=True, metavar="NAME=VALUE",
                        help="A variable: JSON, or else text. Repeatable.")(function)  # fmt: skip


def format_option(*formats: str) -> Callable[[Function], Function]:
    """`--format`, the first of the formats by default."""
    return click.option("--format", "format_", type=click.Choice(formats), default=formats[0],
                        help="How to print it.", show_default=True)  # fmt: skip


def output_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """How much is said, and how it looks; the function gets `output`."""

    def collected(*, colour: str, quiet: bool, **named: Any) -> Any:
        return function(output=Output(colour=colour, quiet=quiet), **named)

    # Not functools.wraps, whose __wrapped__ is of no use here: only what click reads.
    collected.__name__, collected.__doc__ = function.__name__, function.__doc__
    collected.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
    with_quiet = click.option(
        "-q", "--quiet", is_flag=True, help="Print what was asked for, and nothing else."
    )
    with_colour = click.option("--color", "colour", type=click.Choice(["auto", "always", "never"]), default="auto",
                               help="Colours; auto obeys NO_COLOR.", show_default=True)  # fmt: skip
    return with_quiet(with_colour(collected))


def settings_of(
    store: str | None,
    settings_file: str | None,
    buckets: tuple[str, ...] = (),
    *,
    unsafe_store: bool = False,
) -> Settings:
    """The settings in force. Raises SettingsError, click.UsageError."""
    given = dict(_pair(text, "--bucket", "NAME=URL") for text in buckets)
    return read_settings(
        folder=os.getcwd(),
        environment=os.environ,
        file=settings_file,
        store=store,
        buckets=given,
        unsafe_store=unsafe_store,
    )


def given_buckets(settings: Settings, buckets: tuple[str, ...]) -> dict[str, str]:
    """The buckets of the flags, as the settings have them: with absolute URLs."""
    names = [_pair(text, "--bucket", "NAME=URL")[0] for text in buckets]
    return {name: settings.buckets[name] for name in names}


def variables_of(variables: tuple[str, ...], file: str | None, *, option: str = "--var") -> dict[str, Json]:
    """The variables of a request, given with that option. Raises RequestError, click.UsageError."""
    found = _read_variables(file) if file else {}
    for text in variables:
        name, value = _pair(text, option, "NAME=VALUE")
        found[name] = _value(value)
    return found


def value_of(text: str | None, file: str | None) -> Json:
    """One value, as it stands or from a file. Raises RequestError, click.UsageError."""
    if (text is None) == (file is None):
        raise click.UsageError("say the VALUE, or with --file which file holds it")
    if text is not None:
        return _value(text)
    assert file is not None
    try:
        return _value(_read(file).decode().rstrip("\r\n"))
    except UnicodeDecodeError as error:
        raise RequestError(f"{file}: is no UTF-8 text") from error


def _pair(text: str, option: str, form: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise click.UsageError(f"{option} {text}: must be {form}")
    return name, value


def _value(text: str) -> Json:
    import msgspec

    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        pass
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RequestError("a variable's value is no UTF-8 text") from error
    return text


def _read_variables(file: str) -> dict[str, Json]:
    import msgspec

    try:
        found: dict[str, Json] = msgspec.json.decode(_read(file), type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise RequestError(f"{file}: must be a JSON object: {error}") from error
    return found


def _read(file: str) -> bytes:
    try:
        with open(file, "rb") as opened:
            content = opened.read(VARIABLES_SIZE_MAX + 1)
    except OSError as error:
        raise RequestError(f"{file}: can't be read: {error.strerror}") from error
    if len(content) > VARIABLES_SIZE_MAX:
        raise RequestError(f"{file}: larger than {VARIABLES_SIZE_MAX} bytes")
    return content


def user_name() -> str:
    """Who calls: the user of this process, whatever the environment says."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"
