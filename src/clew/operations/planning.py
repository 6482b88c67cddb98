"""What a program would do, told without doing it: blocks, commands with what is known filled in, the way back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from clew.core.planning.awaiting import awaiting_warnings
from clew.core.planning.plan import make_plan
from clew.core.planning.warnings import plan_warnings
from clew.core.program.content import content, dependency_content
from clew.core.program.model import (
    AnyDependency,
    Command,
    Condition,
    Dependency,
    InputDependency,
    Json,
    Program,
)
from clew.core.program.params import by_name, kind_of, signature_of
from clew.core.program.problems import written
from clew.core.program.signatures import EXPRESSION, LITERAL, SQL, TEXT, Signatures
from clew.core.program.stage_templates import source_templates
from clew.core.program.templates import Reference, TemplateError, pieces_of
from clew.core.program.variables import render
from clew.core.running.sealed_program import SealedProgram, SealedStage

SecretsIn = Callable[[Json], set[str]]
"""The names of the secrets that a value refers to."""


def plan_document(
    sealed: SealedProgram,
    variables: Mapping[str, Json],
    *,
    signatures: Signatures,
    conditions: Signatures,
    secrets_in: SecretsIn,
    matches: Sequence[Mapping[str, Json]],
    last: tuple[str, Json] | None,
    timing: Json = None,
    others: Mapping[str, Program] = MappingProxyType({}),
    now: int = 0,
) -> dict[str, Any]:
    """What `clew plan --format json` prints.

    `variables`: those of a request, as far as they are known. `matches`: what file dependencies would match now (see
    `operations.finding`). `last`: version and content of the program that
    ran last under this name. `timing`: when it is due (see `operations.due_times`). `others`: programs of the store
    whose runs those of this one await, by name; `now` is in milliseconds since 1970.
    """
    program = sealed.program
    scope = {**program.variables, **variables, "program_name": program.name}
    fill = _Filling(program, scope, signatures, conditions, {str(one["name"]): one for one in matches})
    plan = make_plan(program, signatures, conditions)
    warnings = [*plan_warnings(program, plan, signatures), *awaiting_warnings(program, others, now)]
    document = content(program)
    return {
        "program": program.name,
        "version": sealed.version,
        "timing": timing,
        "blocks": [
            {
                "index": index,
                "stages": [_stage(stage, sealed, fill) for stage in stages],
                "validate": [fill.condition(one) for one in sealed.conditions[index - 1]],
            }
            for index, stages in enumerate(sealed.blocks, start=1)
        ],
        "undo": list(_undo(sealed)),
        "not_undone": [stage.name for stage in _in_order(sealed) if _way_back(stage) == "undeclared"],
        "point_of_no_return": [stage.name for stage in _in_order(sealed) if _way_back(stage) == "impossible"],
        "requests": {
            name: {"required": name not in program.variables, "schema": schema}
            for name, schema in program.requests.items()
        },
        "secrets": sorted(secrets_in(document["stages"]) | secrets_in(document["validate"])),
        "warnings": [{"path": written(one.path), "what": one.what, "hint": one.hint} for one in warnings],
        "changes": None if last is None else {"since": last[0], "changes": list(_changes(last[1], document))},
    }


def _in_order(sealed: SealedProgram) -> Iterator[SealedStage]:
    for block in sealed.blocks:
        yield from block


def _stage(stage: SealedStage, sealed: SealedProgram, fill: _Filling) -> dict[str, Any]:
    model = stage.stage
    feeds = [
        {"name": name, "from": need} for need in stage.needs for name in stage.needed_outputs.get(need, ())
    ]
    rollback, way_back = model.rollback, _way_back(stage)
    return {
        "name": model.name,
        "needs": list(stage.needs),
        "reads": feeds,
        "when": model.when,
        "dependencies": [fill.dependency(one) for one in model.dependencies],
        "for_each": fill.value(model.for_each),
        "max_parallel": model.max_parallel,
        "source": {key: fill.text(text) for key, text in source_templates(model.source) if text} or None,
        "execute": [fill.command(one) for one in model.execute],
        "outputs": [output.name for output in model.outputs],
        "validate": [fill.condition(one) for one in model.validate],
        "rollback": [fill.command(one) for one in rollback.commands] if way_back == "commands" else way_back,
        "restore": [fill.text(place) for place in rollback.restore],
        "back_to": None if rollback.to is None else {"stage": rollback.to, "attempts": rollback.attempts},
        "on_failure": rollback.on_failure,
    }


def _way_back(stage: SealedStage) -> str:
    """`commands`, `none` (there is nothing to undo), `undeclared` (what it did stays) or `impossible`."""
    return "none" if stage.leaves_nothing else stage.stage.rollback.kind


def _undo(sealed: SealedProgram) -> Iterator[dict[str, Any]]:
    """The blocks in the order in which they are undone, each with the stages that have something to undo."""
    for index in range(len(sealed.blocks), 0, -1):
        names = [stage.name for stage in sealed.blocks[index - 1] if _way_back(stage) == "commands"]
        if names:
            yield {"index": index, "stages": names}


class _Filling:
    """Fills in what is known, and leaves `{name}` for what only a run can know."""

    def __init__(
        self,
        program: Program,
        scope: Mapping[str, Json],
        signatures: Signatures,
        conditions: Signatures,
        now: Mapping[str, Mapping[str, Json]],
    ) -> None:
        self._now = now
        self._program = program
        self._scope = scope
        self._signatures = signatures
        self._conditions = conditions

    def command(self, command: Command) -> dict[str, Json]:
        name = str(self.text(command.name))
        return {"command": name, "params": self._params(command, self._signatures)}

    def condition(self, condition: Condition) -> dict[str, Json]:
        return {
            "condition": condition.name,
            "params": self._params(condition, self._conditions),
            "maximum_time_milliseconds": condition.maximum_time_milliseconds,
        }

    def dependency(self, dependency: AnyDependency) -> dict[str, Json]:
        if isinstance(dependency, InputDependency):
            return {
                "name": dependency.name,
                "kind": "input",
                "schema": dependency.schema,
                "deadline_milliseconds": dependency.deadline_milliseconds,
            }
        if not isinstance(dependency, Dependency):
            document = self.value(dependency_content(dependency))
            assert isinstance(document, dict), "a mapping stays one"
            return document
        return {
            "name": dependency.name,
            "bucket": self.text(dependency.bucket),
            "prefix": self.prefix(dependency.prefix),
            "stable_for_milliseconds": dependency.stable_for_milliseconds,
            "now": self._now.get(dependency.name),
        }

    def prefix(self, prefix: Iterable[Any]) -> list[dict[str, Json]]:
        return [
            {
                "match": self.text(one.match, "regex" if one.kind == "regex" else TEXT),
                "type": one.kind,
                **({"multiple": one.multiple} if one.multiple else {}),
            }
            for one in prefix
        ]

    def _params(self, work: Command | Condition, signatures: Signatures) -> Json:
        signature = signature_of(work.name, self._program, signatures)
        if signature is None:
            return self.value(work.params)
        params = by_name(work.params, signature)
        if not isinstance(params, dict):
            return self.value(params)
        return {name: self.value(value, kind_of(name, value, signature)) for name, value in params.items()}

    def value(self, value: Json, kind: str = TEXT) -> Json:
        if isinstance(value, str):
            return self.text(value, kind)
        if isinstance(value, dict):
            return {key: self.value(item, kind) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(item, kind) for item in value]
        return value

    def text(self, text: str, kind: str = TEXT) -> Json:
        """A statement and an expression stay as they are: values are bound to them, not written into them."""
        if kind in (SQL, EXPRESSION, LITERAL):
            return text
        try:
            filled = [
                one if isinstance(one, str) else self._inserted(one, kind) for one in pieces_of(text, kind)
            ]
        except TemplateError:
            return text
        if len(filled) == 1:
            return filled[0]
        return "".join(one if isinstance(one, str) else _json_text(one) for one in filled)

    def _inserted(self, reference: Reference, kind: str) -> Json:
        if reference.name not in self._scope:
            return str(reference)
        try:
            return render(str(reference), self._scope, kind)
        except TemplateError:
            return str(reference)


def _json_text(value: Json) -> str:
    import json

    return json.dumps(value, ensure_ascii=False)


# ---- what changed ----------------------------------------------------------------------------------------


def _changes(before: Json, after: Json) -> Iterator[dict[str, Json]]:
    """By stage and key; `stage` is empty for the program's own keys, a key is None for a whole stage."""
    yield from _changed_keys("", before, after)
    stages_before = {stage["name"]: stage for stage in before["stages"]}
    stages_after = {stage["name"]: stage for stage in after["stages"]}
    for name, stage in stages_after.items():
        if name in stages_before:
            yield from _changed_keys(name, stages_before[name], stage)
        else:
            yield {"stage": name, "key": None, "change": "added", "before": None, "after": stage}
    for name, stage in stages_before.items():
        if name not in stages_after:
            yield {"stage": name, "key": None, "change": "removed", "before": stage, "after": None}
    order = [[name for name in one if name in stages_before and name in stages_after]
             for one in (stages_before, stages_after)]  # fmt: skip
    if order[0] != order[1]:
        yield {"stage": "", "key": "stages", "change": "reordered", "before": order[0], "after": order[1]}


def _changed_keys(
    stage: str, before: Mapping[str, Json], after: Mapping[str, Json]
) -> Iterator[dict[str, Json]]:
    for key in dict.fromkeys((*before, *after)):
        if key == "stages" or before.get(key) == after.get(key):
            continue
        change = "added" if key not in before else "removed" if key not in after else "changed"
        yield {
            "stage": stage,
            "key": key,
            "change": change,
            "before": before.get(key),
            "after": after.get(key),
        }
