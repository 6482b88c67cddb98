"""`restore_files`: the objects that were kept before a stage began are put back, and what was not there is deleted.

Only what is still as the stage left it is touched. So it may be killed anywhere and run again: what it has put
back already is as it was before, and there is nothing more to do. What somebody changes between the look at an
object and its end is not noticed: no bucket that clew opens so far can be told "only if".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from clew.commands.interface import CommandContext, CommandError
from clew.core.planning.locations import location_url, split_location
from clew.core.sealing.pieces import Digested, digest_of
from clew.ports import Bucket, Json, KeptObject

NAMED_MAX = 20
"""Places that a message names; all of them are in its detail."""

# What came of one place.
AS_BEFORE = "as_before"
RESTORED = "restored"
DELETED = "deleted"
CHANGED_SINCE = "changed_since"
COPY_LOST = "kept_copy"


def restore_files(context: CommandContext, params: Mapping[str, Json]) -> Json:
    """Gives back how many objects were `restored`, `deleted`, or `as_before`.

    Fails when all others are as before: with `kept_copy` if a kept copy is gone or is not what was kept, with
    `changed_since` if an object is neither as it was before the stage nor as the stage left it.
    """
    if not context.kept_bucket:
        raise CommandError(
            "params", "restore_files is clew's to order; a stage says `rollback: {restore: [places]}`"
        )
    copies = context.bucket(context.kept_bucket)
    came: dict[str, list[KeptObject]] = {
        each: [] for each in (AS_BEFORE, RESTORED, DELETED, CHANGED_SINCE, COPY_LOST)
    }
    for kept in msgspec.convert(context.kept, list[KeptObject]):
        came[_restore(kept, context, copies)].append(kept)
    _check(came, context, copies.url)
    return {each: len(came[each]) for each in (RESTORED, DELETED, AS_BEFORE)}


def _restore(kept: KeptObject, context: CommandContext, copies: Bucket) -> str:
    name, key = split_location(kept.place)
    bucket = context.bucket(name)
    now = _digest(bucket, key)
    if now == (kept.digest if kept.existed else None):
        return AS_BEFORE
    if kept.place not in (left := context.left or {}) or left[kept.place] != now:
        return CHANGED_SINCE
    if not kept.existed:
        bucket.delete(key)
        return DELETED
    try:
        bucket.write_pieces(key, _as_kept(copies.read_pieces(kept.location), kept.digest))
    except (FileNotFoundError, _NotAsKept):
        return COPY_LOST
    return RESTORED


def _digest(bucket: Bucket, key: str) -> str | None:
    try:
        return digest_of(bucket.read_pieces(key))
    except FileNotFoundError:
        return None


class _NotAsKept(Exception):
    """A kept copy has other bytes than those that were kept."""


def _as_kept(pieces: Iterator[bytes], digest: str) -> Iterator[bytes]:
    """The pieces of a copy. If they are not what was kept, that is raised in place of their end: so nothing of
    what they are written to is changed."""
    digested = Digested(pieces)
    yield from digested
    if digested.digest != digest:
        raise _NotAsKept


# ---- what a person is told -------------------------------------------------------------------------------


def _check(came: Mapping[str, Sequence[KeptObject]], context: CommandContext, copies_url: str) -> None:
    """Raises CommandError if a place could not be put right."""
    lost, changed = came[COPY_LOST], came[CHANGED_SINCE]
    said = []
    if lost:
        said.append(f"{_named(lost)}: the copy that was kept is gone, or is not what was kept")
    if changed:
        said.append(f"{_named(changed)}: {_why(changed, context)}")
    if said:
        remedy = "what is there now stays. Put it right by hand and resume the run, or skip this rollback to leave it"
        detail = "\n".join(_before(kept, copies_url) for kept in (*lost, *changed))
        raise CommandError(COPY_LOST if lost else CHANGED_SINCE, f"{'; '.join(said)}; {remedy}", detail)


def _named(several: Sequence[KeptObject]) -> str:
    names = ", ".join(f"'{kept.place}'" for kept in several[:NAMED_MAX])
    more = len(several) - NAMED_MAX
    return f"{names} and {more} more" if more > 0 else names


def _why(changed: Sequence[KeptObject], context: CommandContext) -> str:
    if any(kept.place not in (context.left or {}) for kept in changed):
        return "nobody saw how the stage left it, so it may be somebody else's"
    return "somebody else has changed what the stage left"


def _before(kept: KeptObject, copies_url: str) -> str:
    if not kept.existed:
        return f"{kept.place}: nothing was there before"
    copy = location_url(copies_url, kept.location)
    return f"{kept.place}: before it had {kept.size} bytes of SHA-256 {kept.digest}, kept as {copy}"
