"""Which modules the workers needed, so that the supervisor has them for the workers to come.

What one worker imports is lost with it, and the next would import it again. Only modules of this list are
learned: some are slow to import, none starts a thread or opens anything, and none is the user's.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import import_module

LEARNED = (
    "apsw",
    "asyncio",
    "cel",
    "clew.buckets.checking",
    "clew.buckets.file",
    "clew.buckets.s3.bucket",
    "clew.buckets.s3.clients",
    "clew.buckets.searching",
    "clew.commands.files",
    "clew.commands.http",
    "clew.commands.python",
    "clew.commands.shell",
    "clew.commands.sql",
    "clew.commands.wait",
    "clew.conditions.files",
    "clew.conditions.http",
    "clew.conditions.python",
    "clew.conditions.sql",
    "clew.conditions.testing",
    "clew.core.planning.patterns",
    "clew.sources.fetching",
    "jsonschema_rs",
    "re2",
    "shutil",
    "subprocess",
    "traceback",
    "urllib3",
)


def newly_imported(known: Iterable[str]) -> tuple[str, ...]:
    """The modules of the list that are imported here and not yet known."""
    return tuple(name for name in LEARNED if name in sys.modules and name not in known)


def learn(names: Iterable[str]) -> None:
    """Import the modules of the list that are named."""
    for name in names:
        if name in LEARNED:
            import_module(name)
