"""`clew show`: what is on record of a run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import click

from clew.cli.documents import erasure_document, erasure_text, run_row_document, stage_row_document
from clew.cli.explaining import finding_text
from clew.cli.next_steps import next_step, short
from clew.cli.options import format_option, output_options, settings_of, store_options
from clew.cli.output import (
    Output,
    counted,
    escaped,
    escaped_text,
    moment_json,
    moment_text,
    shortened,
    took_text,
    value_text,
)
from clew.cli.sentences import sentence
from clew.cli.tables import ITEMS_SHOWN_MAX, are_of_passes, chosen_items, print_residue
from clew.operations.records import History, Records
from clew.settings import Settings

Json = Any

LOG_TAIL_SIZE = 4_000
"""Bytes of the end of a log that are shown beside a stage; `clew logs` prints all of it."""


@click.command()
@click.argument("run")
@click.argument("stage", required=False)
@click.option("--stage", "stage_option", metavar="NAME", help="The same as a STAGE after the RUN.")
@click.option("--journal", is_flag=True, help="The journal, entry by entry.")
@store_options
@format_option("text", "json")
@output_options
def show(
    run: str,
    stage: str | None,
    stage_option: str | None,
    journal: bool,
    store: str | None,
    settings_file: str | None,
    format_: str,
    output: Output,
) -> int:
    """Show a RUN: its stages, their times, values and journal.

    With a STAGE, or one item of it (STAGE[3]): the variables as they stood there, attempts, results, findings, log.
    """
    if stage is not None and stage_option is not None:
        raise click.UsageError("a STAGE and --stage are the same; say one of them")
    stage = stage or stage_option
    if stage is not None and journal:
        raise click.UsageError("a STAGE is shown by itself, --journal shows all entries; say one of them")
    from clew.wiring import open_records

    settings = settings_of(store, settings_file)
    with open_records(settings) as records:
        row = records.find(run)
        history = records.history(row)
        if stage is not None:
            _show_stage(history, stage, settings, format_, output)
        elif journal:
            _show_journal(history, format_, output)
        else:
            _show_run(records, history, format_, output)
    return 0


# ---- a run -----------------------------------------------------------------------------------------------


def _show_run(records: Records, history: History, format_: str, output: Output) -> None:
    from clew.operations.showing import map_documents

    row = history.row
    stages = _with_items(records.store.stages(row["run_id"]))
    written = history.map_before(len(history.entries))
    if format_ == "json":
        document = {
            **run_row_document(row),
            "erased": erasure_document(history.erasure),
            "entry_count": row["entry_count"],
            "head": row["head"],
            "stages": [_stage_document(history, stage, items) for stage, items in stages],
            "variables": {one.name: one.value for one in written},
            "map": map_documents(written),
        }
        output.document(document)
        return
    output.facts(_facts(history, output))
    output.data()
    _print_stages(stages, output)
    print_map(written, output)
    has_passes = history.state.pass_number > 1
    print_residue(run_row_document(row)["residue"], output, has_passes=has_passes)
    run = short(row["run_id"])
    if row["status"] == "completed":
        output.talk(f"next: `clew show {run} STAGE` shows one of its stages")
    else:
        output.talk(next_step(row["run_id"], row["status"], row["cause"], is_paused=history.state.is_paused))


StageRows = list[tuple[Mapping[str, Json], list[Mapping[str, Json]]]]
"""Rows of the tracker: each stage's with those of its items."""


def _with_items(rows: list[dict[str, Json]]) -> StageRows:
    stages: StageRows = []
    for row in rows:
        if row["item"] < 0:
            stages.append((row, []))
        else:
            stages[-1][1].append(row)
    return stages


def _stage_document(
    history: History, stage: Mapping[str, Json], items: list[Mapping[str, Json]]
) -> dict[str, Json]:
    from clew.operations.showing import outputs_of

    name = stage["name"]
    document = {**stage_row_document(stage), "outputs": outputs_of(history, name)}
    if history.state.stages[name].is_for_each:
        document["items"] = [
            {**stage_row_document(item), "outputs": outputs_of(history, f"{name}[{item['item']}]")}
            for item in items
        ]
    return document


def _print_stages(stages: StageRows, output: Output) -> None:
    has_passes = are_of_passes(stage for stage, _ in stages)
    rows: list[tuple[str, ...]] = []
    for stage, items in stages:
        number = (str(stage["pass"]),) if has_passes else ()
        rows.append((str(stage["block"]), *number, escaped(stage["name"]), *_how_it_stands(stage, output)))
        shown, others = chosen_items(items, ITEMS_SHOWN_MAX)
        blank = ("", *("" for _ in number))
        rows += [(*blank, f"  [{item['item']}]", *_how_it_stands(item, output)) for item in shown]
        if others:
            rows.append((*blank, *others, "", "", "", ""))
    headings = ("BLOCK", *(("PASS",) if has_passes else ()), "STAGE", "STATUS", "ATTEMPTS", "STARTED", "TOOK")
    output.table((*headings, "OUTCOME"), rows, cut=2 if has_passes else 1)


def _how_it_stands(row: Mapping[str, Json], output: Output) -> tuple[str, ...]:
    return (
        output.status(row["status"]),
        str(row["attempts"]),
        moment_text(row["started_at"])[11:],
        _took(row),
        escaped(row["error_kind"] or row["outcome"]),
    )


def _facts(history: History, output: Output) -> list[tuple[str, str]]:
    row, state = history.row, history.state
    ended = moment_text(row["ended_at"])
    took = f"  ({took_text(row['ended_at'] - row['launched_at'])})" if ended else ""
    beside = row["cause"] or (f"{state.held}, at {escaped(state.held_stage)}" if state.held else "")
    return [
        ("run", row["run_id"]),
        ("name", row["run_name"]),
        ("program", f"{escaped(row['program'])}  version {row['version'][:16]}"),
        ("status", output.status(row["status"]) + (f"  ({beside})" if beside else "")),
        ("pass", str(state.pass_number) if state.pass_number > 1 else ""),
        ("requested by", escaped(row["requested_by"])),
        ("launched", moment_text(row["launched_at"])),
        ("ended", ended + took),
        ("journal", f"{row['entry_count']} entries, the last {row['head'][:16]}"),
        ("erased", "" if history.erasure is None else erasure_text(history.erasure)),
    ]


def _took(row: Mapping[str, Json]) -> str:
    if not row["started_at"]:
        return ""
    return took_text(row["ended_at"] - row["started_at"]) if row["ended_at"] else "not ended"


def print_map(written: Any, output: Output, *, heading: str = "VARIABLE") -> None:
    """Names of the variables map, who wrote them, their values."""
    rows = [(escaped(one.name), escaped(one.stage) or "(request)", value_text(one.value)) for one in written]
    if rows:
        output.data()
        output.table((heading, "WRITTEN BY", "VALUE"), rows, cut=2)


# ---- a stage ---------------------------------------------------------------------------------------------


def _show_stage(history: History, name: str, settings: Settings, format_: str, output: Output) -> None:
    from clew.operations.showing import find_stage, stage_document

    name = find_stage(history, name)
    document = stage_document(history, name)
    log = _log_tail(history, name, settings)
    if format_ == "json":
        output.document({**_with_moments(document), "log_tail": log})
        return
    output.facts(
        [
            ("run", history.row["run_id"]),
            ("stage", escaped(name)),
            ("for", value_text(document["value"]) if document["value"] is not None else ""),
            ("block", str(document["block"])),
            ("pass", str(document["pass"]) if document["pass"] > 1 else ""),
            ("status", output.status(document["status"])),
            ("needs", escaped(", ".join(document["needs"]))),
            *((f"code, {part}", digest[:16]) for part, digest in document["code"].items()),
        ]
    )
    _print_values("VARIABLES BEFORE IT", document["map"], output)
    _print_values("INPUTS", document["inputs"], output)
    _print_evidence(document["evidence"], output)
    _print_items(document["items"] or [], output)
    _print_attempts(document, output)
    given = {
        **document["outputs"],
        **({"(result)": document["result"]} if document["result"] is not None else {}),
    }
    if given:
        output.data()
        output.table(
            ("OUTPUT", "VALUE"), [(escaped(key), value_text(value)) for key, value in given.items()], cut=1
        )
    for validation in document["validations"]:
        output.data()
        told = f"{validation['verdict'].replace('_', ' ')} ({counted(validation['tests'], 'test')})"
        output.data(f"validation of attempt {validation['attempt']}: {told}")
        for finding in validation["findings"]:
            output.data(f"  {finding_text(finding)}")
    if log:
        output.data()
        output.data(output.styled("the end of its last log", "bold"))
        output.data(escaped_text(log).rstrip("\n"))
    run = short(history.row["run_id"])
    if document["items"]:
        output.talk(f"next: `clew show {run} {_quoted(f'{name}[0]')}` shows one of its items")
    else:
        output.talk(f"next: `clew logs {run} --stage {_quoted(name)}` prints all that it wrote")


def _print_evidence(evidence: Mapping[str, Json], output: Output) -> None:
    """What was listed for each dependency, and why this match was chosen."""
    rows = [
        (
            escaped(name),
            escaped(", ".join(_listing(one) for one in found.get("listings", ()))),
            escaped(found["why"]),
        )
        for name, found in evidence.items()
    ]
    if rows:
        output.data()
        output.table(("DEPENDENCY", "LISTED", "CHOSEN"), rows, cut=1)


def _listing(listed: Mapping[str, Json]) -> str:
    return f"{listed['folder']}{listed['start']}… ({listed['count']})"


def _print_items(items: list[Mapping[str, Json]], output: Output) -> None:
    if not items:
        return
    shown, others = chosen_items(items, ITEMS_SHOWN_MAX)
    rows = [
        (
            escaped(item["name"]),
            output.status(item["status"]),
            str(item["attempts"]),
            escaped(item["error_kind"] or item["outcome"]),
        )
        for item in shown
    ]
    if others:
        rows.append((others[0].strip(), others[1], "", ""))
    output.data()
    output.table(("ITEM", "STATUS", "ATTEMPTS", "OUTCOME"), rows, cut=0)


def _print_values(heading: str, values: list[dict[str, Json]], output: Output) -> None:
    rows = [
        (escaped(one["name"]), escaped(one["stage"]) or "(request)", value_text(one["value"]))
        for one in values
    ]
    if rows:
        output.data()
        output.table((heading, "WRITTEN BY", "VALUE"), rows, cut=2)


def _print_attempts(document: Mapping[str, Json], output: Output) -> None:
    tries = [*(("attempt", one) for one in document["attempts"])]
    tries += [("rollback", one) for one in document["rollbacks"]]
    if not tries:
        return
    has_passes = are_of_passes(one for _, one in tries)
    rows = []
    for what, one in sorted(tries, key=lambda each: int(each[1]["started_at"])):
        error = one["error"]
        took = took_text(one["ended_at"] - one["started_at"]) if one["ended_at"] else "not ended"
        message = escaped(shortened(f"{error['kind']}: {error['message']}", 300)) if error else ""
        number = (str(one["pass"]),) if has_passes else ()
        name = f"{what} {one['attempt']}"
        rows.append((name, *number, moment_text(one["started_at"]), took, one["outcome"], message))
    output.data()
    headings = ("TRY", *(("PASS",) if has_passes else ()), "STARTED", "TOOK", "OUTCOME", "ERROR")
    output.table(headings, rows, cut=len(headings) - 1)


def _log_tail(history: History, name: str, settings: Settings) -> str:
    """The end of the log of the stage's last attempt."""
    from clew.wiring import log_path

    number = history.state.units[name].attempts
    if not number:
        return ""
    try:
        with open(log_path(settings.logs, history.row["run_id"], name, str(number)), "rb") as file:
            file.seek(max(os.fstat(file.fileno()).st_size - LOG_TAIL_SIZE, 0))
            return file.read(LOG_TAIL_SIZE).decode("utf-8", "replace")
    except OSError:
        return ""  # an attempt that wrote nothing has no log, and logs may be deleted


def _with_moments(value: Json) -> Json:
    if isinstance(value, list):
        return [_with_moments(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: _document_item(key, item) for key, item in value.items()}


def _document_item(key: str, item: Json) -> Json:
    if key in ("at", "started_at", "ended_at"):
        return moment_json(item)
    return item if key in ("error", "findings", "value", "outputs", "result") else _with_moments(item)


def _quoted(name: str) -> str:
    import shlex

    return shlex.quote(escaped(name))


# ---- the journal -----------------------------------------------------------------------------------------


def _show_journal(history: History, format_: str, output: Output) -> None:
    from clew.operations.showing import entry_documents

    if format_ == "json":
        documents = entry_documents(history)
        output.document([{**one, "at": moment_json(one["at"])} for one in documents])
        return
    rows = []
    for entry, (_, digest) in zip(history.entries, history.journal, strict=True):
        stage, happened = sentence(entry, history.program, lambda: history.values.get(entry.seq, {}))  # noqa: B023
        about = f"{stage}: {happened}" if stage else happened
        rows.append((str(entry.seq), moment_text(entry.at), digest[:12], about))
    output.table(("ENTRY", "AT", "HASH", "WHAT HAPPENED"), rows, cut=3)
