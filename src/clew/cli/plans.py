"""A plan (see `operations.planning`) as text and as a picture in Mermaid."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from clew.cli.finding import match_lines
from clew.cli.output import Output, counted, escaped, shortened, took_text, value_text

Json = Any

PARAMS_SIZE_MAX = 160
"""Characters of a command's params on a line; `--format json` has the whole."""


def print_plan(plan: Mapping[str, Json], output: Output) -> None:
    output.data(f"{output.styled(escaped(plan['program']), 'bold')}  version {plan['version'][:16]}")
    for block in plan["blocks"]:
        output.data()
        output.data(output.styled(f"block {block['index']}", "bold"))
        for stage in block["stages"]:
            _print_stage(stage, output)
        for condition in block["validate"]:
            output.data(f"  then valid if  {_work(condition, 'condition')}")
    output.data()
    if plan["timing"] is not None:
        _print_timing(plan["timing"], output)
    _print_way_back(plan, output)
    for is_required, words in ((True, "must"), (False, "may")):
        names = [name for name, asked in plan["requests"].items() if asked["required"] is is_required]
        if names:
            output.data(f"a request {words} give: {escaped(', '.join(names))}")
    if plan["secrets"]:
        output.data(f"secrets: {', '.join(escaped(name) for name in plan['secrets'])}")
    for warning in plan["warnings"]:
        hint = f"; {warning['hint']}" if warning["hint"] else ""
        text = escaped(f"warning: {warning['path']}: {warning['what']}{hint}")
        output.data(output.styled(text, "yellow"))
    _print_changes(plan["changes"], output)


def _print_timing(timing: Mapping[str, Json], output: Output) -> None:
    output.data(f"due {escaped('; or '.join(timing['in_words']))}, in {escaped(timing['timezone'])}")
    if timing["initial"] or timing["final"]:
        output.data(f"from {timing['initial'] or 'ever'} to {timing['final'] or 'ever'}")
    for one in timing["next"]:
        rows = [f"row {row['row'] + 1} ({' and '.join(row['columns'])})" for row in one["rows"]]
        by = f"  by {', '.join(rows)}" if rows else ""
        output.data(f"  {one['time']}{by}")
    output.talk("`clew up` runs it when it is due, `clew run` now")


def _print_stage(stage: Mapping[str, Json], output: Output) -> None:
    output.data(f"  {output.styled(escaped(stage['name']), 'cyan')}")
    by_stage: dict[str, list[str]] = {need: [] for need in stage["needs"]}
    for read in stage["reads"]:
        by_stage[read["from"]].append(read["name"])
    for need, names in by_stage.items():
        what = f"{', '.join(names)} of {need}" if names else f"the end of {need}"
        output.data(f"    needs      {escaped(what)}")
    if stage["when"] is not None:
        output.data(f"    only when  {escaped(stage['when'])}")
    for dependency in stage["dependencies"]:
        _print_dependency(dependency, output)
    if stage["for_each"] is not None:
        most = "" if stage["max_parallel"] is None else f", at most {stage['max_parallel']} at the same time"
        output.data(f"    for each   {escaped(shortened(_short(stage['for_each']), PARAMS_SIZE_MAX))}{most}")
    if stage["source"] is not None:
        output.data(f"    code from  {escaped(_source(stage['source']))}")
    for command in stage["execute"]:
        output.data(f"    runs       {_work(command, 'command')}")
    if stage["outputs"]:
        output.data(f"    gives      {escaped(', '.join(stage['outputs']))}")
    for condition in stage["validate"]:
        output.data(f"    valid if   {_work(condition, 'condition')}")
    _print_rollback(stage, output)


def _print_dependency(dependency: Mapping[str, Json], output: Output) -> None:
    if dependency.get("kind") == "input":
        schema = "" if dependency["schema"] is None else f": {value_text(dependency['schema'])}"
        deadline = dependency["deadline_milliseconds"]
        within = "" if deadline is None else f", within {took_text(deadline)}"
        output.data(f"    asks for   {escaped(dependency['name'])}{schema}{within}")
        return
    if "kind" in dependency:
        _print_named(dependency, output)
        return
    path = "/".join(str(element["match"]) for element in dependency["prefix"])
    text = f"{dependency['name']}: {dependency['bucket']} {path}"
    output.data(f"    finds      {escaped(text)}")
    if dependency["now"] is not None:
        for number, line in enumerate(match_lines(dependency["now"])):
            output.data(f"    {'         ' if number else 'now      '}  {line}")


def _source(source: Mapping[str, Json]) -> str:
    folder = f"{source['folder']} of " if "folder" in source else ""
    if "git" in source:
        return f"{folder}commit {source['commit'][:12]} of {source['git']}"
    return f"{folder}{source['bucket']}"


def _print_named(dependency: Mapping[str, Json], output: Output) -> None:
    """A dependency that is no file."""
    name, kind = dependency["name"], dependency["kind"]
    if kind == "variable":
        default = f", or {_short(dependency['default'])}" if "default" in dependency else ""
        text = f"{name}: {dependency['output']} of the last completed run of {dependency['program']}{default}"
        output.data(f"    reads      {escaped(text)}")
    elif kind == "program":
        which = "for the same time, or the latest where either has no cadence"
        if "offset" in dependency:
            which = f"that is {dependency['offset']} from this one's time"
        text = f"{name}: the run of {dependency['program']} {which}"
        output.data(f"    waits for  {escaped(text)}")
    else:
        given = {key: value for key, value in dependency.items() if key not in ("name", "kind")}
        text = ", ".join(f"{key}: {_short(value)}" for key, value in given.items())
        output.data(f"    waits for  {escaped(f'{name}: {kind}  {shortened(text, PARAMS_SIZE_MAX)}')}")


def _print_rollback(stage: Mapping[str, Json], output: Output) -> None:
    rollback = stage["rollback"]
    if isinstance(rollback, str):
        output.data(f"    undone by  {_NO_ROLLBACK[rollback]}")
    else:
        for command in rollback:
            output.data(f"    undone by  {_work(command, 'command')}")
    for place in stage["restore"]:
        output.data(f"    puts back  {escaped(_short(place))}")
    if stage["on_failure"] == "continue":
        output.data("    if that fails, the other rollbacks go on all the same")
    if stage["back_to"] is not None:
        back = stage["back_to"]
        often = "once" if back["attempts"] == 1 else f"up to {counted(back['attempts'], 'time')}"
        output.data(f"    goes back  to {escaped(back['stage'])} when it fails, {often}")


_NO_ROLLBACK = {
    "impossible": "nothing: it can't be undone, and is a point of no return",
    "none": "nothing: it leaves nothing behind",
    "undeclared": "nothing: it declares no rollback, so what it does stays",
}


def _work(work: Mapping[str, Json], key: str) -> str:
    params = work["params"]
    if not params:
        return escaped(str(work[key]))
    if isinstance(params, dict):
        text = ", ".join(f"{name}: {_short(value)}" for name, value in params.items())
    else:
        text = _short(params)
    return escaped(f"{work[key]}  {shortened(text, PARAMS_SIZE_MAX)}")


def _short(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _print_way_back(plan: Mapping[str, Json], output: Output) -> None:
    if plan["undo"]:
        steps = [f"block {block['index']} ({', '.join(block['stages'])})" for block in plan["undo"]]
        output.data(f"when it fails, undone in this order: {escaped(', then '.join(steps))}")
    else:
        output.data("when it fails, nothing is undone")
    if plan["point_of_no_return"]:
        names = escaped(", ".join(plan["point_of_no_return"]))
        output.data(f"point of no return: {names}; once it has begun, the run goes forward or is held")
    if plan["not_undone"]:
        output.data(f"left standing then: what is done by {escaped(', '.join(plan['not_undone']))}")


def _print_changes(changes: Mapping[str, Json] | None, output: Output) -> None:
    if changes is None:
        output.data("it has not run in this store yet")
        return
    if not changes["changes"]:
        output.data("unchanged since it ran last")
        return
    output.data(f"changed since version {changes['since'][:16]}, which ran last:")
    for change in changes["changes"]:
        where = change["stage"] or "the program"
        if change["key"] is None:
            output.data(f"  {escaped(where)}: {change['change']}")
            continue
        before, after = (shortened(_short(change[side]), PARAMS_SIZE_MAX) for side in ("before", "after"))
        told = f"{before} -> {after}"
        if change["change"] != "changed":
            told = f"{change['change']}: {after if change['change'] == 'added' else before}"
        output.data(f"  {escaped(where)}: {change['key']}: {escaped(told)}")


def mermaid(plan: Mapping[str, Json]) -> str:
    """A flowchart: blocks as boxes, stages in them, arrows from who makes a name to who reads it."""
    stages = [stage for block in plan["blocks"] for stage in block["stages"]]
    numbers = {stage["name"]: f"s{at}" for at, stage in enumerate(stages)}
    lines = ["flowchart LR"]
    for block in plan["blocks"]:
        lines.append(f'  subgraph b{block["index"]}["block {block["index"]}"]')
        lines += [f"    {numbers[stage['name']]}{_box(stage)}" for stage in block["stages"]]
        lines.append("  end")
    for stage in stages:
        for need in stage["needs"]:
            names = [read["name"] for read in stage["reads"] if read["from"] == need]
            label = f'|"{_label(", ".join(names))}"|' if names else ""
            lines.append(f"  {numbers[need]} -->{label} {numbers[stage['name']]}")
    for stage in stages:
        if stage["back_to"] is not None:
            lines.append(f'  {numbers[stage["name"]]} -.->|"back"| {numbers[stage["back_to"]["stage"]]}')
    return "\n".join(lines)


def _box(stage: Mapping[str, Json]) -> str:
    """A stage as a node; one that can't be undone has a shape of its own, and words beside it."""
    name = stage["name"] if stage["for_each"] is None else f"{stage['name']} (for each)"
    if stage["rollback"] == "impossible":
        return f'{{{{"{_label(f"{name} (point of no return)")}"}}}}'
    return f'["{_label(name)}"]'


def _label(text: str) -> str:
    """A text within quotes of Mermaid, which knows HTML's entities and no other escapes."""
    for letter, entity in (("&", "#amp;"), ('"', "#quot;"), ("<", "#lt;"), (">", "#gt;")):
        text = text.replace(letter, entity)
    return escaped(text)
