"""From the parts of a document to those pieces of a stage that need no table of commands.

Files and Python functions say these pieces alike, so both are read here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from clew.core.planning.locations import split_location
from clew.core.program.demands import RESOURCE_AVAILABLE, demand_problems
from clew.core.program.model import (
    ANSWER_MILLISECONDS,
    HOUR,
    AnyDependency,
    AnySource,
    AskedDependency,
    Command,
    Delay,
    Dependency,
    Element,
    FolderSource,
    GitSource,
    InputDependency,
    ProgramDependency,
    Retry,
    Rollback,
    VariableDependency,
)
from clew.core.program.problems import Path
from clew.core.program.shapes import Found
from clew.core.program.sources import git_address_problem, git_folder_problem, split_folder

Parts = Mapping[str, Any]
Placed = Sequence[tuple[Path, Any]]

NOTHING = "none"
"""As the command of a rollback: there is nothing to undo."""


def retry_of(parts: Parts) -> Retry:
    default = Retry()
    delay = parts.get("delay", default.delay_milliseconds)
    on = parts.get("on", list(default.on))
    return Retry(
        attempts=parts.get("attempts", default.attempts),
        delay_milliseconds=delay,
        growth=parts.get("growth", default.growth),
        # Who asks for a longer first delay than the usual longest one has not asked for it to be cut.
        maximum_delay_milliseconds=parts.get("maximum_delay", max(delay, default.maximum_delay_milliseconds)),
        jitter=parts.get("jitter", default.jitter),
        on=(on,) if isinstance(on, str) else tuple(on),
    )


def delay_of(read: Any) -> Delay:
    if isinstance(read, int):
        return Delay(read)
    default = Delay()
    return Delay(
        read.get("first", default.first_milliseconds), read.get("growth", default.growth), read.get("maximum")
    )


# ---- dependencies ----------------------------------------------------------------------------------------


def dependency_of(name: str, parts: Parts) -> AnyDependency:
    """The dependency, without the elements of its path that can't be read."""
    match parts.get("kind"):
        case None:
            return _file_of(name, parts)
        case "input":
            return InputDependency(name, parts.get("schema"), parts.get("deadline"))
        case "variable":
            program, output = parts.get("program", ""), parts.get("output", "")
            return VariableDependency(name, program, output, "default" in parts, parts.get("default"))
        case "program":
            return ProgramDependency(name, parts.get("program", ""), parts.get("offset"))
        case "resource" | "infrastructure" as kind:
            params = {key: value for key, value in parts.items() if key != "kind"}
            return AskedDependency(name, kind, params)
        case kind:
            timeout = parts.get("timeout", ANSWER_MILLISECONDS)
            return AskedDependency(name, kind, parts.get("params", {}), timeout)


def demands_of(dependency: AskedDependency) -> Iterator[tuple[Path, str, str]]:
    """What is wrong with what is asked of this machine or of an address, as its condition says."""
    name = RESOURCE_AVAILABLE if dependency.kind == "resource" else dependency.kind
    return demand_problems(name, dependency.params)


def _file_of(name: str, parts: Parts) -> Dependency:
    elements = [element_of(one) for _, one in parts.get("prefix", ())]
    prefix = tuple(one for one in elements if one is not None)
    return Dependency(name, parts.get("bucket", ""), prefix, parts.get("stable_for"))


def waits_in_vain_for_stability(dependency: Dependency) -> bool:
    """Whether it is a folder that is to be stable, and folders have neither size nor etag."""
    is_folder = bool(dependency.prefix) and dependency.prefix[-1].match.endswith("/")
    return dependency.stable_for_milliseconds is not None and is_folder


def element_of(parts: Parts) -> Element | None:
    if "match" not in parts:
        return None
    return Element(parts["match"], parts.get("type", "exact"), parts.get("multiple"))


# ---- sources ---------------------------------------------------------------------------------------------


def source_of(read: str | Parts | None, path: Path, found: Found) -> AnySource | None:
    """The source that a text or a mapping says; None where there is none, or it can't be read."""
    if read is None:
        return None
    if isinstance(read, str):
        bucket, folder = split_folder(read)
        if not bucket:
            found.problem(path, f"'{read}' names no bucket", "write bucket/folder/, or a URL")
        return FolderSource(bucket, folder)
    if "bucket" in read and "git" in read:
        found.problem(
            path, "both bucket and git are given", "code comes from one place: leave out one of them"
        )
    folder = read.get("folder", "")
    if "bucket" in read:
        return FolderSource(read["bucket"], folder)
    if "git" not in read or "commit" not in read:
        return None
    for key, problem in (("git", git_address_problem(read["git"])), ("folder", git_folder_problem(folder))):
        # Where there are references, it is known before the first attempt, and checked then.
        if problem is not None and "{" not in read.get(key, ""):
            found.problem((*path, key), *problem)
    return GitSource(read["git"], read["commit"], folder)


# ---- rollbacks -------------------------------------------------------------------------------------------


def rollback_commands(parts: Parts, path: Path) -> Placed:
    """The commands that a rollback's mapping names, with their paths. `path` is the rollback's own."""
    if "commands" in parts:
        placed: Placed = parts["commands"]
        return placed
    if parts.get("command", NOTHING) == NOTHING:
        return ()
    return ((path, {key: parts[key] for key in ("command", "params") if key in parts}),)


def rollback_of(
    parts: Parts, commands: tuple[Command, ...], implied: str, path: Path, found: Found
) -> Rollback:
    """The rollback that a mapping says. `implied`: its kind where the mapping names nothing to be done."""
    for its_path, what, hint in _rollback_problems(parts, path):
        found.problem(its_path, what, hint)
    default = Rollback()
    kind = NOTHING if parts.get("command") == NOTHING else "commands" if _undoes(parts) else implied
    return Rollback(
        kind,
        commands,
        restore=tuple(place for _, place in parts.get("restore", ())),
        to=parts.get("to"),
        attempts=parts.get("attempts", default.attempts),
        on_failure=parts.get("on_failure", default.on_failure),
        retry=retry_of(parts.get("retry", {})),
        timeout_milliseconds=parts.get("timeout", HOUR),
    )


def _undoes(parts: Parts) -> bool:
    return parts.get("command", NOTHING) != NOTHING or "commands" in parts or "restore" in parts


def _rollback_problems(parts: Parts, path: Path) -> Iterator[tuple[Path, str, str]]:
    names_nothing = parts.get("command") == NOTHING
    if "command" in parts and "commands" in parts:
        yield path, "both command and commands are given", "give one of command and commands"
    if "params" in parts and names_nothing:
        yield (*path, "params"), "there is no command to take them", "name it in command, or leave out params"
    if names_nothing and "restore" in parts:
        what = "a stage that leaves nothing to undo has nothing to put back"
        yield (*path, "restore"), what, "leave out command: none, or restore"
    for key in ("on_failure", "retry", "timeout"):
        if key in parts and not _undoes(parts) and (names_nothing or "to" in parts):
            yield (*path, key), f"nothing is undone here, so '{key}' has no meaning", "leave it out"
    for its_path, place in parts.get("restore", ()):
        yield from ((its_path, *one) for one in _place_problems(place))


def _place_problems(place: str) -> Iterator[tuple[str, str]]:
    """What is wrong with a place, as far as it is known before its references are filled in."""
    if "{" in place:
        return
    try:
        _, key = split_location(place)
    except ValueError as error:
        what, _, hint = str(error).partition("; ")
        yield what, hint
        return
    if key.endswith("/"):
        yield f"'{place}' is a folder, and objects alone are put back", "name each object that is overwritten"
