"""`publish_file`, `copy_file`, `delete_file`: files in buckets."""

from __future__ import annotations

import json
from collections.abc import Mapping

from clew.commands.interface import CommandContext, CommandError
from clew.core.planning.locations import located_value, split_location
from clew.ports import Bucket, Json, ObjectFacts


def publish_file(context: CommandContext, params: Mapping[str, Json]) -> Json:
    """Gives back the location as a dependency would: url, bucket, key, name, size, etag, modified."""
    if ("lines" in params) == ("content" in params):
        raise CommandError("params", "publish_file takes either lines or content")
    name, key, bucket = _place(context, params["location"])
    text = _joined(params["lines"]) if "lines" in params else _text(params["content"])
    return _located(name, bucket, bucket.write(key, text.encode()))


def _joined(lines: Json) -> str:
    """Each line with a newline behind it; what is a list itself stands for its items."""
    flat: list[Json] = []
    for line in lines if isinstance(lines, list) else [lines]:
        flat.extend(line if isinstance(line, list) else [line])
    return "".join(f"{_text(line)}\n" for line in flat)


def _text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def copy_file(context: CommandContext, params: Mapping[str, Json]) -> Json:
    """Gives back the copy's location, as `publish_file` does. A missing source fails with `not_found`."""
    source_name, source_key, source = _place(context, params["from"])
    name, key, target = _place(context, params["to"])
    try:
        if source_name == name:
            facts = target.copy(source_key, key)
        else:
            facts = target.write_pieces(key, source.read_pieces(source_key))
    except FileNotFoundError as error:
        raise CommandError("not_found", f"'{params['from']}' is not there") from error
    return _located(name, target, facts)


def delete_file(context: CommandContext, params: Mapping[str, Json]) -> Json:
    """Gives back `{deleted}`: how many were there."""
    locations = params["location"] if isinstance(params["location"], list) else [params["location"]]
    deleted = 0
    for location in locations:
        for one in location if isinstance(location, list) else [location]:
            _, key, bucket = _place(context, one)
            deleted += bucket.delete(key)
    return {"deleted": deleted}


def _place(context: CommandContext, location: Json) -> tuple[str, str, Bucket]:
    """The bucket's name as stated, the key, and the bucket."""
    try:
        name, key = split_location(location)
    except ValueError as error:
        raise CommandError("params", str(error)) from error
    return name, key, context.bucket(name)


def _located(name: str, bucket: Bucket, facts: ObjectFacts) -> Json:
    return located_value(
        name, bucket.url, facts.key, size=facts.size, etag=facts.etag, modified_at=facts.modified_at
    )
