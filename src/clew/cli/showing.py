"""`clew show`: what is on record of a run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import click

from clew.cli.documents import run_row_document, stage_row_document
from clew.cli.explaining import finding_text
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
from clew.cli.running import next_step
from clew.cli.sentences import sentence
from clew.cli.tables import print_residue
from clew.operations.records import History, Records
from clew.settings import Settings

Json = Any

LOG_TAIL_SIZE = 4_000
"""Bytes of the end of a log that are shown beside a stage; `clew logs` prints all of it."""


@click.command()
@click.argument("run")
@click.option(
    "--stage", metavar="NAME", help="One stage: the variables as they stood there, results, findings, log."
)
@click.option("--journal", is_flag=True, help="The journal, entry by entry.")
@store_options
@format_option("text", "json")
@output_options
def show(
    run: str,
    stage: str | None,
    journal: bool,
    store: str | None,
    settings_file: str | None,
    format_: str,
    output: Output,
) -> int:
    """Show a run: its stages, their times, values and journal."""
    if stage is not None and journal:
        raise click.UsageError("--stage shows one stage, --journal all entries; say one of them")
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
    stages = records.store.stages(row["run_id"])
    written = history.map_before(len(history.entries))
    if format_ == "json":
        document = {
            **run_row_document(row),
            "entry_count": row["entry_count"],
            "head": row["head"],
            "stages": [
                {**stage_row_document(stage), "outputs": _outputs(history, stage["name"])} for stage in stages
            ],
            "variables": {one.name: one.value for one in written},
            "map": map_documents(written),
        }
        output.document(document)
        return
    output.facts(_facts(row, output))
    output.data()
    output.table(
        ("BLOCK", "STAGE", "STATUS", "ATTEMPTS", "STARTED", "TOOK", "OUTCOME"),
        [
            (
                str(stage["block"]),
                escaped(stage["name"]),
                output.status(stage["status"]),
                str(stage["attempts"]),
                moment_text(stage["started_at"])[11:],
                _took(stage),
                escaped(stage["error_kind"] or stage["outcome"]),
            )
            for stage in stages
        ],
        cut=1,
    )
    print_map(written, output)
    print_residue(run_row_document(row)["residue"], output)
    short = row["run_id"][:16]
    if row["status"] == "completed":
        output.talk(f"next: `clew show {short} --stage NAME` shows one of its stages")
    else:
        output.talk(next_step(row["run_id"], row["status"]))


def _facts(row: Mapping[str, Json], output: Output) -> list[tuple[str, str]]:
    ended = moment_text(row["ended_at"])
    took = f"  ({took_text(row['ended_at'] - row['launched_at'])})" if ended else ""
    cause = f"  ({row['cause']})" if row["cause"] else ""
    return [
        ("run", row["run_id"]),
        ("name", row["run_name"]),
        ("program", f"{escaped(row['program'])}  version {row['version'][:16]}"),
        ("status", output.status(row["status"]) + cause),
        ("requested by", escaped(row["requested_by"])),
        ("launched", moment_text(row["launched_at"])),
        ("ended", ended + took),
        ("journal", f"{row['entry_count']} entries, the last {row['head'][:16]}"),
    ]


def _took(stage: Mapping[str, Json]) -> str:
    if not stage["started_at"]:
        return ""
    return took_text(stage["ended_at"] - stage["started_at"]) if stage["ended_at"] else "not ended"


def _outputs(history: History, name: str) -> dict[str, Json]:
    seq = history.state.stages[name].written_seq
    return dict(history.values.get(seq, {}).get("variables", {})) if seq >= 0 else {}


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
            ("block", str(document["block"])),
            ("status", output.status(document["status"])),
            ("needs", escaped(", ".join(document["needs"]))),
            *((f"code, {part}", digest[:16]) for part, digest in document["code"].items()),
        ]
    )
    _print_values("VARIABLES BEFORE IT", document["map"], output)
    _print_values("INPUTS", document["inputs"], output)
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
    short = history.row["run_id"][:16]
    output.talk(f"next: `clew logs {short} --stage {_quoted(name)}` prints all that it wrote")


def _print_values(heading: str, values: list[dict[str, Json]], output: Output) -> None:
    rows = [
        (escaped(one["name"]), escaped(one["stage"]) or "(request)", value_text(one["value"]))
        for one in values
    ]
    if rows:
        output.data()
        output.table((heading, "WRITTEN BY", "VALUE"), rows, cut=2)


def _print_attempts(document: Mapping[str, Json], output: Output) -> None:
    rows = []
    for what, attempts in (("attempt", document["attempts"]), ("rollback", document["rollbacks"])):
        for one in attempts:
            error = one["error"]
            took = took_text(one["ended_at"] - one["started_at"]) if one["ended_at"] else "not ended"
            message = escaped(shortened(f"{error['kind']}: {error['message']}", 300)) if error else ""
            rows.append(
                (f"{what} {one['attempt']}", moment_text(one["started_at"]), took, one["outcome"], message)
            )
    if rows:
        output.data()
        output.table(("TRY", "STARTED", "TOOK", "OUTCOME", "ERROR"), rows, cut=4)


def _log_tail(history: History, name: str, settings: Settings) -> str:
    """The end of the log of the stage's last attempt."""
    from clew.wiring import log_path

    number = history.state.stages[name].attempts
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
