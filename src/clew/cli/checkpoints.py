"""`clew checkpoint`: what the tree of all runs is now, for keeping elsewhere."""

from __future__ import annotations

import click

from clew.cli import exits
from clew.cli.options import format_option, output_options, settings_of, store_options
from clew.cli.output import Output


@click.command()
@click.option("--public-key", is_flag=True, help="Print the key that verifies it, and nothing else.")
@store_options
@format_option("text", "json")
@output_options
def checkpoint(
    public_key: bool, store: str | None, settings_file: str | None, format_: str, output: Output
) -> int:
    """Sign what the tree of all runs is now, and print it.

    Keep it where nobody who has the store can change it: `clew verify --since FILE` then finds whatever of these runs
    was dropped or written anew.
    """
    from clew.wiring.exporting import signed_now

    note, key = signed_now(settings_of(store, settings_file))
    if format_ == "json":
        output.document({"checkpoint": note, "public_key": str(key)})
    elif public_key:
        output.data(str(key))
    else:
        output.data(note.removesuffix("\n"))
        output.talk(f"next: keep this, and the key `{key}`, elsewhere; `clew verify --since FILE` compares")
    return exits.DONE
