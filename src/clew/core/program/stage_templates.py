"""Where a stage's references may stand: each of its strings, with the kind of text that it is."""

from __future__ import annotations

from collections.abc import Iterator

from clew.core.program.model import (
    AnyDependency,
    AnySource,
    AskedDependency,
    Command,
    Condition,
    Dependency,
    GitSource,
    InputDependency,
    Program,
    Stage,
    VariableDependency,
)
from clew.core.program.params import signature_of, templates_of
from clew.core.program.problems import Path
from clew.core.program.signatures import EXPRESSION, REGEX, TEXT, Signatures
from clew.core.program.variables import templates_in


def stage_templates(
    stage: Stage, program: Program, signatures: Signatures, conditions: Signatures, path: Path
) -> Iterator[tuple[str, Path, str, str]]:
    """Every string of the stage that may hold references: its part, path, text and kind."""
    if stage.when is not None:
        yield "when", (*path, "when"), stage.when, EXPRESSION
    for dependency in stage.dependencies:
        its_path = (*path, "dependencies", dependency.name)
        yield from (("dependencies", *one) for one in dependency_templates(dependency, its_path))
    for its_path, text, kind in templates_in(stage.for_each, TEXT, (*path, "for_each")):
        yield "for_each", its_path, text, kind
    for key, text in source_templates(stage.source):
        yield "source", (*path, "source", key), text, TEXT
    for name, text in stage.environment.items():
        yield "environment", (*path, "environment", name), text, TEXT
    for part, commands, its_path in (
        ("execute", stage.execute, (*path, "execute")),
        ("rollback", stage.rollback.commands, (*path, "rollback", "commands")),
    ):
        for at, command in enumerate(commands):
            yield from (
                (part, *one) for one in _command_templates(command, program, signatures, (*its_path, at))
            )
    for at, place in enumerate(stage.rollback.restore):
        yield "restore", (*path, "rollback", "restore", at), place, TEXT
    for at, condition in enumerate(stage.validate):
        yield from (
            ("validate", *one) for one in condition_templates(condition, conditions, (*path, "validate", at))
        )


def source_templates(source: AnySource | None) -> Iterator[tuple[str, str]]:
    """Every string of the source that may hold references, with its key."""
    if isinstance(source, GitSource):
        yield from (("git", source.git), ("commit", source.commit), ("folder", source.folder))
    elif source is not None:
        yield from (("bucket", source.bucket), ("folder", source.folder))


def _command_templates(
    command: Command, program: Program, signatures: Signatures, path: Path
) -> Iterator[tuple[Path, str, str]]:
    yield (*path, "command"), command.name, TEXT
    yield from templates_of(command, signature_of(command.name, program, signatures), (*path, "params"))


def condition_templates(
    condition: Condition, conditions: Signatures, path: Path
) -> Iterator[tuple[Path, str, str]]:
    """Every string of the condition that may hold references: its path, text and kind."""
    yield from templates_of(condition, conditions.get(condition.name), (*path, "params"))


def dependency_templates(dependency: AnyDependency, path: Path) -> Iterator[tuple[Path, str, str]]:
    """Every string of the dependency that may hold references: its path, text and kind."""
    if isinstance(dependency, InputDependency):
        return
    if isinstance(dependency, AskedDependency):
        its_path = (*path, "params") if dependency.is_plug_in else path
        yield from templates_in(dict(dependency.params), TEXT, its_path)
        return
    if not isinstance(dependency, Dependency):
        yield (*path, "program"), dependency.program, TEXT
        if isinstance(dependency, VariableDependency):
            yield (*path, "output"), dependency.output, TEXT
            yield from templates_in(dependency.default, TEXT, (*path, "default"))
        return
    yield (*path, "bucket"), dependency.bucket, TEXT
    for at, element in enumerate(dependency.prefix):
        yield (*path, "prefix", at, "match"), element.match, REGEX if element.kind == "regex" else TEXT
