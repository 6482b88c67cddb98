"""What a part of a store is made with: the store's own queries and transactions, on every database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from clew.ports import RunRecord

Rows = Callable[[str, Any], list[Any]]
"""What the query of that name finds."""


class StorePart:
    """Asks and writes as the store does that it is a part of."""

    def __init__(
        self,
        rows: Rows,
        transaction: Callable[[], AbstractContextManager[None]],
        insert_fresh: Callable[[Sequence[RunRecord]], None],
    ) -> None:
        """`insert_fresh`: writes runs, without those that are there already."""
        self._rows = rows
        self._transaction = transaction
        self._insert_fresh = insert_fresh
