"""Objects that a stage is going to overwrite: kept before it does, and looked at when it has.

What is kept here, `commands.restoring` puts back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from clew.core.planning.locations import split_location
from clew.core.sealing.pieces import Digested, digest_of
from clew.ports import Bucket, KeptObject

PLACES_MAX = 1_000
"""Objects that one stage may have kept. Each is read whole before the stage begins, once more when it has
ended, and is named in the run's record: more than this wants a folder of its own, and its removal."""


def keep(places: Sequence[str], open: Callable[[str], Bucket], kept: Bucket, folder: str) -> list[KeptObject]:
    """Copy what stands at each place into the bucket `kept`, as `folder/0`, `folder/1` and so on; it is there
    durably when this returns. Done again, it takes the place of what it kept before.

    Raises BucketError, and ValueError for what is no place, or too many.
    """
    return [
        _keep(place, open(name), key, kept, f"{folder}/{number}")
        for number, (place, name, key) in enumerate(_split(places))
    ]


def _keep(place: str, bucket: Bucket, key: str, kept: Bucket, location: str) -> KeptObject:
    pieces = Digested(bucket.read_pieces(key))
    try:
        kept.write_pieces(location, pieces)
    except FileNotFoundError:
        return KeptObject(place, existed=False)
    return KeptObject(place, existed=True, digest=pieces.digest, size=pieces.size, location=location)


def look(places: Sequence[str], open: Callable[[str], Bucket]) -> dict[str, str | None]:
    """The SHA-256 of what stands at each place now, None where nothing does. Raises as `keep` does."""
    return {place: _digest(open(name), key) for place, name, key in _split(places)}


def _digest(bucket: Bucket, key: str) -> str | None:
    try:
        return digest_of(bucket.read_pieces(key))
    except FileNotFoundError:
        return None


def _split(places: Sequence[str]) -> list[tuple[str, str, str]]:
    """Each place with its bucket and its key: all of them, before anything is done for one."""
    if len(places) > PLACES_MAX:
        raise ValueError(
            f"{len(places)} objects are to be kept; {PLACES_MAX} is the most: have the stage write into a "
            "folder of its own, and delete that"
        )
    return [(place, *split_location(place)) for place in places]
