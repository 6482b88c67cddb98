"""How what programs are read from is fetched: with the settings' buckets, into a folder beside the store."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from clew.core.program.program_places import BucketPlace, FetchedPlace
from clew.core.program.sources import as_folder
from clew.settings import Settings

if TYPE_CHECKING:
    from clew.sources.deadlines import Deadline
    from clew.sources.program_trees import ProgramTrees, Tree

Fetch = Callable[[FetchedPlace, "Tree | None", "Deadline"], "Tree"]
"""Blocking: what a place holds now, given what it held before. Raises SourceError, BucketError, OSError."""


def program_trees(settings: Settings) -> ProgramTrees:
    """Where what was fetched is."""
    from clew.sources.cache import SourceCache
    from clew.sources.program_trees import ProgramTrees

    folder = os.path.join(os.path.dirname(os.path.abspath(settings.sources)), "programs")
    return ProgramTrees(folder, SourceCache(settings.sources))


def program_fetcher(settings: Settings, trees: ProgramTrees) -> Fetch:
    """What fetches into these trees."""

    def fetch(place: FetchedPlace, last: Tree | None, deadline: Deadline) -> Tree:
        if isinstance(place, BucketPlace):
            from clew.buckets import open_bucket

            bucket = open_bucket(place.bucket, settings.buckets)
            return trees.of_folder(bucket, as_folder(place.folder), last, deadline)
        from clew.sources.commits import Commit

        reference = f"refs/heads/{place.branch}" if place.branch else f"refs/tags/{place.tag}"
        return trees.of_tip(Commit(place.address, "", place.folder, ""), reference, last, deadline)

    return fetch
