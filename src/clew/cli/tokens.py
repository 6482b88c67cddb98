"""`clew token`: who may ask a server of this store, and for what."""

from __future__ import annotations

import click

from clew.cli import exits
from clew.cli.options import format_option, output_options, settings_of, store_options, user_name
from clew.cli.output import Output, escaped, moment_json, moment_text
from clew.ports import ROLES
from clew.wiring.tokens import list_tokens, make_token, revoke_token

LIFETIME = "90 days"


@click.group()
def token() -> None:
    """Say who may ask a server of this store, and for what.

    As long as there is no token, whoever sits at the server's machine is an admin, and nobody else may ask.
    """


@token.command()
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), required=True,
              help="A viewer reads, an operator has runs made and tells them, an admin says who may.")  # fmt: skip
@click.option("--for", "lifetime", default=LIFETIME, metavar="TIME", show_default=True,
              help="How long it is worth something; `forever` until it is revoked.")  # fmt: skip
@store_options
@output_options
def make(
    name: str, role: str, lifetime: str, store: str | None, settings_file: str | None, output: Output
) -> int:
    """Make a token for NAME, which says what it is for, and print it: this once, since only a digest is kept."""
    from clew.core.program.durations import read_duration

    milliseconds = None
    if lifetime != "forever":
        try:
            milliseconds = read_duration(lifetime)
        except ValueError as error:
            raise click.UsageError(f"--for {lifetime}: {error}") from error
        if milliseconds <= 0:
            raise click.UsageError("--for: a token is worth something for some time; write a longer one")
    settings = settings_of(store, settings_file)
    made = make_token(settings, name, role, by=f"cli:{user_name()}", lifetime_milliseconds=milliseconds)
    output.data(made.text)
    until = (
        "until it is revoked" if made.row.expires_at is None else f"until {moment_text(made.row.expires_at)}"
    )
    output.talk(f"token {made.row.token_id}: {role}, {until}; it is not shown again")
    return exits.DONE


@token.command("list")
@store_options
@format_option("text", "json")
@output_options
def list_(store: str | None, settings_file: str | None, format_: str, output: Output) -> int:
    """List tokens, the newest first."""
    found = list_tokens(settings_of(store, settings_file))
    if format_ == "json":
        moments = ("made_at", "expires_at", "used_at", "revoked_at")
        output.document([
            {
                name: moment_json(value) if name in moments else value
                for name, value in row._asdict().items()
                if name != "digest"
            }
            for row in found
        ])  # fmt: skip
        return exits.DONE
    if not found:
        output.talk("no token was made; whoever sits at the server's machine is an admin")
        return exits.DONE
    rows = [
        (
            row.token_id,
            escaped(row.name),
            row.role,
            f"revoked {moment_text(row.revoked_at)}"
            if row.revoked_at
            else moment_text(row.expires_at) or "never",
            moment_text(row.used_at) or "never",
        )
        for row in found
    ]
    output.table(("TOKEN", "NAME", "ROLE", "EXPIRES", "USED"), rows, cut=1)
    return exits.DONE


@token.command()
@click.argument("token_id", metavar="TOKEN")
@store_options
@output_options
def revoke(token_id: str, store: str | None, settings_file: str | None, output: Output) -> int:
    """Revoke TOKEN, by its id: from this moment on it is worth nothing."""
    done = revoke_token(settings_of(store, settings_file), token_id, by=f"cli:{user_name()}")
    output.talk(f"token {token_id} is revoked" if done else f"token {token_id} was revoked already")
    return exits.DONE
