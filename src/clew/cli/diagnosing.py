"""`clew doctor`: whether the store is sound, who drives its runs, and what is in force here."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import click

from clew.cli import exits
from clew.cli.options import format_option, output_options, settings_of, store_options
from clew.cli.output import Output, escaped, mark_of, moment_json, moment_text
from clew.settings import FILE_NAME

_EXITS = {"sound": exits.DONE, "unsafe": exits.FAILED, "doubtful": exits.NO_RESULT}


@click.command()
@click.option("--thorough", is_flag=True,
              help="Read every page of the store, too.")  # fmt: skip
@store_options
@format_option("text", "json")
@output_options
def doctor(thorough: bool, store: str | None, settings_file: str | None, format_: str, output: Output) -> int:
    """Say whether the store is sound, who drives its runs, and what is in force here.

    Of a store that is not there yet: what it would be. Nothing is changed, and no secret is shown. Exit code 0 when all
    is sound, 3 when something is doubtful, 1 when something is unsafe: then nothing is driven, unless --unsafe-store or
    the setting unsafe_store says so.
    """
    from clew.wiring import diagnose

    settings = settings_of(store, settings_file)
    document = diagnose(settings, is_thorough=thorough)
    document["settings"] = {"file": _file_in_force(settings_file), **document["settings"]}
    if format_ == "json":
        output.document(_json(document))
    else:
        _print(document, output)
        output.talk(_next(document))
    return _EXITS[document["verdict"]]


def _file_in_force(named: str | None) -> str | None:
    file = named or os.environ.get("CLEW_SETTINGS") or FILE_NAME
    return os.path.abspath(file) if os.path.exists(file) else None


def _json(document: Mapping[str, Any]) -> dict[str, Any]:
    """The moments of it as JSON has them everywhere."""
    last = document["driven_last"]
    return {
        **document,
        "driven_by": [_holder_json(holder) for holder in document["driven_by"]],
        "driven_last": last and _holder_json(last),
    }


def _holder_json(holder: Mapping[str, Any]) -> dict[str, Any]:
    return {**holder, "started_at": moment_json(holder["started_at"])}


# ---- printing --------------------------------------------------------------------------------------------


def _print(document: Mapping[str, Any], output: Output) -> None:
    store = document["store"]
    output.data(f"{output.status(document['verdict'])}  {output.styled(escaped(store['path']), 'bold')}")
    output.data()
    output.facts(
        [
            ("store", _store_text(store)),
            *(("driven by", text) for text in _driven_texts(document)),
            ("driven last", _holder_text(document["driven_last"]) if not document["is_driven"] else ""),
        ]
    )
    _heading("What its records rest on", output)
    width = max(len(each["name"]) for each in document["diagnoses"])
    for each in document["diagnoses"]:
        name, verdict = escaped(each["name"]).ljust(width), each["verdict"]
        mark, colour = mark_of(verdict, sys.stdout)
        output.data(
            f"{output.styled(f'{mark} {verdict.ljust(8)}', colour)}  {name}  {escaped(each['found'])}"
        )
        if each["remedy"]:
            output.data(f"{' ' * (width + 14)}{output.styled(escaped(each['remedy']), 'dim')}")
    _heading("Versions", output)
    output.facts((name, escaped(found or "not installed")) for name, found in document["versions"].items())
    _heading("Executors", output)
    output.facts((name, escaped(what)) for name, what in document["executors"].items())
    _heading("Settings", output)
    output.facts((name, escaped(text)) for name, text in _setting_texts(document["settings"]))


def _heading(text: str, output: Output) -> None:
    output.data()
    output.data(output.styled(text, "bold"))


def _store_text(store: Mapping[str, Any]) -> str:
    if not store["exists"]:
        return "not there yet; `clew run` and `clew up` make it"
    if store["schema"] is None:
        return "can't be opened"
    size = f"{store['size'] / 1024**2:.1f} MiB"
    if store["log_size"] is not None:
        size += f", and {store['log_size'] / 1024**2:.1f} MiB of log"
    here = store["schema_here"]
    schema = f"schema {store['schema']}"
    if store["schema"] < here:
        schema += f" of {here}: the next process that writes makes it {here}"
    return f"{size}; {schema}"


def _driven_texts(document: Mapping[str, Any]) -> list[str]:
    if not document["is_driven"]:
        return ["nobody now"]
    texts = [_holder_text(holder) for holder in document["driven_by"]]
    return texts or ["another process, which does not say who it is"]


def _holder_text(holder: Mapping[str, Any] | None) -> str:
    if holder is None:
        return ""
    since = moment_text(holder["started_at"])
    boot = f", boot {holder['boot_id'][:8]}" if holder["boot_id"] else ""
    return escaped(f"process {holder['pid']} on {holder['host']}, since {since}, clew {holder['clew']}{boot}")


def _setting_texts(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{key}", str(text)) for key, text in value.items())
        elif isinstance(value, list):
            yield name, ", ".join(value)
        elif isinstance(value, bool):
            yield name, "yes" if value else "no"
        elif name == "workers":
            yield name, str(value) if value else "as many as executors say"
        else:
            yield name, str(value or ("none" if name == "file" else ""))


def _next(document: Mapping[str, Any]) -> str:
    if document["verdict"] == "unsafe":
        return "next: mend what is unsafe; --unsafe-store drives all the same, and that goes on record"
    if document["verdict"] == "doubtful":
        return "next: look at what is doubtful; runs are driven all the same"
    if not document["store"]["exists"]:
        return "next: `clew run PROGRAM` runs a program"
    return "next: `clew runs` lists the runs of this store"
