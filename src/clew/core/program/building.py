"""From the parts of a document, as its shapes read them, to the model.

What could not be read is left out, so that the rest can still be checked. The model knows nothing of how its
author wrote it: `author_path` leads from a path in the model to the one in the document.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import asdict

from clew.core.program.demands import demand_problems
from clew.core.program.grammar import ABOUT_KINDS, KINDS, PREFIX, TIMING_KEYS
from clew.core.program.model import (
    HOUR,
    AnyDependency,
    AnySource,
    AskedDependency,
    Command,
    Condition,
    CustomTime,
    Dependency,
    Element,
    Json,
    Output,
    Program,
    Rollback,
    Stage,
)
from clew.core.program.pace_keys import read_limits, read_pace
from clew.core.program.params import by_name, name_reference, params_problems, positions_of, possible_names
from clew.core.program.problems import Path, nearest
from clew.core.program.shapes import UNREADABLE, Found
from clew.core.program.signatures import Signature, Signatures
from clew.core.program.stage_parts import (
    Parts,
    Placed,
    delay_of,
    demands_of,
    dependency_of,
    element_of,
    retry_of,
    rollback_commands,
    rollback_of,
    source_of,
    waits_in_vain_for_stability,
)
from clew.core.program.templates import TemplateError

# More would be a program that nobody can oversee, and each stage has its rows in every run.
STAGE_COUNT_MAX = 10_000

_FUNCTION = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*(?:\.[^\W\d]\w*)*")


class Building:
    """One program on its way from parts to model."""

    def __init__(
        self,
        found: Found,
        signatures: Signatures,
        conditions: Signatures,
        *,
        known_zone: Callable[[str], bool],
        known_kind: Callable[[str], bool],
    ) -> None:
        self.found = found
        self._signatures = signatures
        self._conditions = conditions
        self._known_zone = known_zone
        self._known_kind = known_kind
        self._author_paths: dict[Path, Path] = {}
        self._frame = Program("", ())

    def author_path(self, path: Path) -> Path:
        """Where the author wrote what the model has at `path`."""
        for length in range(len(path), 0, -1):
            written = self._author_paths.get(path[:length])
            if written is not None:
                return (*written, *path[length:])
        return path

    def program(self, parts: Parts) -> Program:
        """The program, without what could not be read."""
        zone = parts.get("timezone", "UTC")
        if not self._known_zone(zone):
            hint = "write a name of the time zone database, such as UTC or America/New_York"
            self.found.problem(("timezone",), f"there is no time zone '{zone}'", hint)
        times = parts.get("custom_times", {}).items()
        # What a command's reference may stand for depends on these, so the stages are built in this frame.
        self._frame = Program(
            name=parts.get("name", ""),
            stages=(),
            timezone=zone,
            custom_times=tuple(CustomTime(name, base, offset) for name, (base, offset) in sorted(times)),
            maintain_sequence=parts.get("maintain_sequence", False),
            variables=parts.get("variables", {}),
            requests=parts.get("requests", {}),
        )
        stages = self._stages(parts.get("stages", []), parts)
        conditions = self._conditions_of(parts.get("validate", ()), ("validate",))
        for at, condition in enumerate(conditions):
            if condition.reexecute:
                what = "a condition over several stages has no attempt to execute again"
                self.found.problem(
                    (*self.author_path(("validate", at)), "reexecute"), what, "leave out reexecute"
                )
        timing = self._timing(parts, zone)
        return Program(
            name=self._frame.name,
            stages=stages,
            timezone=zone,
            custom_times=self._frame.custom_times,
            maintain_sequence=self._frame.maintain_sequence,
            variables=self._frame.variables,
            requests=self._frame.requests,
            validate=conditions,
            **timing,
            **read_pace(parts, self.found),
        )

    def _timing(self, parts: Parts, zone: str) -> Parts:
        if not TIMING_KEYS.keys() & parts.keys():
            return {}
        # Reading cron expressions takes 10 ms to load, which only programs with a cadence need.
        from clew.core.program.timing_keys import read_timing

        return asdict(read_timing(parts, zone, self.found))

    # ---- stages ------------------------------------------------------------------------------------------

    def _stages(self, placed: Sequence[tuple[Path, str, Any]], defaults: Parts) -> tuple[Stage, ...]:
        if not placed and self.found.names_are_complete:
            self.found.problem(("stages",), "a program needs at least one stage")
        if len(placed) > STAGE_COUNT_MAX:
            self.found.problem(("stages",), f"{len(placed)} stages", f"at most {STAGE_COUNT_MAX} are allowed")
            return ()
        stages: list[Stage] = []
        names: set[str] = set()
        for at, (path, name, parts) in enumerate(placed):
            if name in names:
                self.found.problem(path, f"there are two stages '{name}'", "rename one of them")
            names.add(name)
            self._author_paths[("stages", at)] = path
            if parts is UNREADABLE:
                self.found.names_are_complete = False
            stages.append(self._stage(name, {} if parts is UNREADABLE else parts, defaults, ("stages", at)))
        return tuple(stages)

    def _stage(self, name: str, parts: Parts, defaults: Parts, path: Path) -> Stage:
        execute = self._commands(parts.get("execute", ()), (*path, "execute"))
        for variable in defaults.get("environment", {}):
            if variable not in parts.get("environment", {}):
                self._author_paths[(*path, "environment", variable)] = ("environment", variable)
        return Stage(
            name=name,
            execute=execute,
            dependencies=self._dependencies(parts.get("dependencies", ()), path),
            inputs=self._items(parts.get("inputs", ()), (*path, "inputs")),
            outputs=self._outputs(parts.get("outputs", ()), path),
            after=self._items(parts.get("after", ()), (*path, "after")),
            when=parts.get("when"),
            for_each=parts.get("for_each"),
            max_parallel=parts.get("max_parallel"),
            validate=self._conditions_of(parts.get("validate", ()), (*path, "validate")),
            rollback=self._rollback(parts.get("rollback"), execute, (*path, "rollback")),
            retry=retry_of({**defaults.get("retry", {}), **parts.get("retry", {})}),
            timeout_milliseconds=parts.get("timeout", defaults.get("timeout", HOUR)),
            delay=delay_of(parts.get("delay", defaults.get("delay", {}))),
            executor=parts.get("executor", defaults.get("executor", "local")),
            environment={**defaults.get("environment", {}), **parts.get("environment", {})},
            source=self._source(parts.get("source"), (*path, "source")),
            **read_limits(parts),
        )

    def _items(self, placed: Placed, path: Path) -> tuple[str, ...]:
        for at, (written, _) in enumerate(placed):
            self._author_paths[(*path, at)] = written
        return tuple(item for _, item in placed)

    def _outputs(self, placed: Sequence[tuple[Path, str, Any]], path: Path) -> tuple[Output, ...]:
        outputs = []
        for written, name, parts in placed:
            self._author_paths[(*path, "outputs", name)] = written
            known = {} if parts is UNREADABLE else parts
            outputs.append(Output(name, known.get("from"), "default" in known, known.get("default")))
        return tuple(outputs)

    def _dependencies(self, placed: Sequence[tuple[Path, str, Any]], path: Path) -> tuple[AnyDependency, ...]:
        dependencies = []
        for written, name, parts in placed:
            its_path = (*path, "dependencies", name)
            self._author_paths[its_path] = written
            known = {} if parts is UNREADABLE else parts
            self._note_prefix(known.get("prefix", ()), (*its_path, "prefix"))
            dependency = dependency_of(name, known)
            if isinstance(dependency, Dependency) and waits_in_vain_for_stability(dependency):
                what = "a folder does not show whether what lies in it is still being written"
                hint = "leave out stable_for, or wait for an object, such as one that is written last"
                self.found.problem((*written, "stable_for"), what, hint)
            if isinstance(dependency, AskedDependency):
                self._check_asked(dependency, written)
            dependencies.append(dependency)
        return tuple(dependencies)

    def _check_asked(self, dependency: AskedDependency, written: Path) -> None:
        for where, what, hint in demands_of(dependency):
            self.found.problem((*written, *where), what, hint)
        kind = dependency.kind
        if dependency.is_plug_in and ":" not in kind and not self._known_kind(kind):
            hint = nearest(kind, KINDS) or ABOUT_KINDS
            self.found.problem((*written, "kind"), f"there is no kind '{kind}'", hint)

    def _note_prefix(self, placed: Placed, path: Path) -> None:
        for at, (written, _) in enumerate(placed):
            self._author_paths[(*path, at)] = written
        elements = [element_of(parts) for _, parts in placed]
        if elements and None not in elements:
            self._check_prefix([one for one in elements if one is not None], path)

    def _check_prefix(self, elements: Sequence[Element], path: Path) -> None:
        from clew.core.planning.patterns import prefix_problems  # of use where data is waited for

        for at, what in prefix_problems(elements):
            what, _, hint = what.partition("; ")
            self.found.problem(self.author_path((*path, at)), f"this element {what}", hint)

    def _source(self, read: Any, path: Path) -> AnySource | None:
        written = self.author_path(path)
        if isinstance(read, str):
            for key in ("bucket", "folder"):
                self._author_paths[(*path, key)] = written
        return source_of(read, written, self.found)

    def _rollback(self, read: Any, execute: tuple[Command, ...], path: Path) -> Rollback:
        leaves_nothing = execute and all(self._leaves_nothing(command) for command in execute)
        implied = "none" if leaves_nothing else "undeclared"
        if read is None or isinstance(read, str):
            return Rollback(read or implied)
        if isinstance(read, list):
            return Rollback("commands", self._commands(read, (*path, "commands")))
        written = self.author_path(path)
        commands = self._commands(rollback_commands(read, written), (*path, "commands"))
        return rollback_of(read, commands, implied, written, self.found)

    def _leaves_nothing(self, command: Command) -> bool:
        signature = self._signatures.get(command.name)
        return signature is not None and signature.leaves_nothing

    # ---- commands and conditions -------------------------------------------------------------------------

    def _commands(self, placed: Placed, path: Path) -> tuple[Command, ...]:
        commands: list[Command] = []
        for at, (written, parts) in enumerate(placed):
            if "command" in parts:
                self._author_paths[(*path, at)] = written
                commands.append(self._command(parts, written, (*path, len(commands))))
        return tuple(commands)

    def _command(self, parts: Parts, written: Path, path: Path) -> Command:
        name, params = parts["command"], parts.get("params")
        if "{" in name:
            self._check_possible_commands(name, params, written)
            return Command(name, params)
        signature = self._signature(name, self._signatures, "command", (*written, "command"))
        return Command(*self._normalised(name, params, signature, written, path))

    def _check_possible_commands(self, name: str, params: Json, written: Path) -> None:
        """Checks the params against every command that a reference is known to stand for."""
        try:
            reference = name_reference(name)
        except TemplateError:
            # It is told with the other mistakes in templates.
            return
        for possible in possible_names(reference, self._frame) or ():
            signature = self._signature(possible, self._signatures, "command", (*written, "command"))
            if signature is not None:
                self._check_params(params, signature, written)

    def _conditions_of(self, placed: Placed, path: Path) -> tuple[Condition, ...]:
        conditions: list[Condition] = []
        for written, parts in placed:
            if "condition" in parts:
                its_path = (*path, len(conditions))
                self._author_paths[its_path] = written
                conditions.append(self._condition(parts, written, its_path))
        return tuple(conditions)

    def _condition(self, parts: Parts, written: Path, path: Path) -> Condition:
        signature = self._signature(
            parts["condition"], self._conditions, "condition", (*written, "condition")
        )
        name, params = self._normalised(parts["condition"], parts.get("params"), signature, written, path)
        return Condition(
            name=name,
            params=params,
            maximum_time_milliseconds=parts.get("maximum_time"),
            interval_milliseconds=parts.get("interval", Condition("").interval_milliseconds),
            reexecute=parts.get("reexecute", False),
        )

    def _signature(self, name: str, known: Signatures, sort: str, path: Path) -> Signature | None:
        signature = known.get(name)
        if signature is None:
            hint = nearest(name, known) or f"there are {', '.join(sorted(known))}"
            self.found.problem(path, f"there is no {sort} '{name}'", hint)
        return signature

    def _normalised(
        self, name: str, params: Json, signature: Signature | None, written: Path, path: Path
    ) -> tuple[str, Json]:
        """The name without synonyms and the params by name, once they have been checked."""
        if signature is None:
            return name, params
        self._check_params(params, signature, written)
        if isinstance(params, list):
            for position, where in positions_of(params, signature):
                self._author_paths[(*path, "params", *position)] = (*written, "params", *where)
        named = by_name(params, signature)
        if isinstance(named, dict):
            self._check_function(named, signature, (*path, "params"))
            self._check_prefix_param(named, signature, (*path, "params"))
            for where, what, hint in demand_problems(signature.name, named):
                self.found.problem(self.author_path((*path, "params", *where)), what, hint)
        return signature.name, named

    def _check_params(self, params: Json, signature: Signature, written: Path) -> None:
        for where, what, hint in params_problems(params, signature):
            self.found.problem((*written, "params", *where), what, hint)

    def _check_function(self, params: Parts, signature: Signature, path: Path) -> None:
        """A function that is written wrong should not be found out by the first run."""
        function = params.get("function")
        if signature.name == "python" and isinstance(function, str) and not _FUNCTION.fullmatch(function):
            what = f"'{function}' names no function"
            self.found.problem(self.author_path((*path, "function")), what, "write module:function")

    def _check_prefix_param(self, params: Parts, signature: Signature, path: Path) -> None:
        """A condition that looks for files takes the same elements as a dependency."""
        if "prefix" not in signature.params or "prefix" not in params:
            return
        read = PREFIX.read(params["prefix"], self.author_path((*path, "prefix")), self.found)
        elements = [element_of(parts) for _, parts in read] if read is not UNREADABLE else []
        if elements and None not in elements and len(elements) == len(params["prefix"]):
            self._check_prefix([one for one in elements if one is not None], (*path, "prefix"))
