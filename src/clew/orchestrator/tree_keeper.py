"""Has the store's tree grow by what runs come to, and its checkpoints signed and published: beside everything else,
once a second at most.

Nothing waits for it. What is not in the tree yet when this process ends gets its place by whoever comes next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from clew.core.sealing.notes import Checkpoint
from clew.ports import (
    BucketError,
    CommitUnknown,
    FlushFailed,
    SigningKeyError,
    StoreBusy,
    StoreError,
    StoreTaken,
    Tasks,
    Tree,
)

LEAVES_A_TURN = 500
"""Given their places together: a few milliseconds, in which nothing else is done."""

LOOKS_BETWEEN = 5
"""Of the looks that come several times a second only every fifth makes the tree grow."""

SignCheckpoint = Callable[[Checkpoint, Tree], str]
"""The checkpoint of that tree as a signed note. Raises SigningKeyError, also where the tree does not go on from what
was signed by the same key before; StoreError."""

Publish = Callable[[str, Checkpoint], None]
"""Puts a signed checkpoint where nobody who has the store can change it. Blocking; raises BucketError."""


class TreeKeeper:
    """Keeps one store's tree."""

    def __init__(
        self,
        *,
        tree: Tree,
        tasks: Tasks,
        flush_count: Callable[[], int],
        sign: SignCheckpoint | None = None,
        publish: Sequence[Publish] = (),
    ) -> None:
        """`flush_count`: another number when runs may have come to something; without `sign` nothing is signed."""
        self._tree = tree
        self._tasks = tasks
        self._flush_count = flush_count
        self._sign = sign
        self._publish = publish
        self._seen = -1
        self._looks_left = 0
        self._published: Checkpoint | None = None
        self._last: tuple[str, Checkpoint] | None = None
        self._is_publishing = False
        self._is_stopped = False
        self.is_troubled: Callable[[str], None] = _tell_nobody
        """Is told, once for each reason, why the tree does not grow, or its checkpoints are not signed or published."""
        self._told: set[str] = set()

    def look(self) -> None:
        """Runs may have come to something. Asked several times a second; costs nothing where they have not."""
        if self._looks_left > 0:
            self._looks_left -= 1
        elif not self._is_stopped and self._flush_count() != self._seen:
            self._looks_left = LOOKS_BETWEEN - 1
            self._seen = self._flush_count()
            self._go_on()

    def _go_on(self) -> None:
        """Grow by a turn's worth; when that was all, sign."""
        if self._is_stopped:
            return
        try:
            if self._tree.grow(LEAVES_A_TURN) == LEAVES_A_TURN:
                self._tasks.soon(self._go_on)
                return
            signed = self._signed()
        except (StoreBusy, CommitUnknown):
            self._seen = -1  # later
            return
        except (FlushFailed, StoreTaken):
            raise
        except (StoreError, SigningKeyError) as error:
            self._tell(error)
            return
        if signed is not None and self._publish and not self._is_publishing:
            self._is_publishing = True
            self._tasks.start(self._published_beside(*signed), name="publish a checkpoint")

    def finish(self) -> None:
        """Do what is left to do before the store is closed, as far as it can be done; then no more."""
        if self._is_stopped:
            return
        self._is_stopped = True
        with suppress(StoreError, SigningKeyError):
            while self._tree.grow(LEAVES_A_TURN):
                pass
            self._last = self._signed()

    async def publish_last(self) -> None:
        """Publish the checkpoint by which it was finished. Others need not wait for that: the store is closed."""
        if self._last is not None and self._publish:
            last, self._last = self._last, None
            await self._tasks.outside(lambda: self._publish_everywhere(*last))

    def stop(self) -> None:
        """Nothing more is done: the store can't be written any more."""
        self._is_stopped = True

    def _signed(self) -> tuple[str, Checkpoint] | None:
        """The tree as it is now, signed; None where that was published already, or nobody signs."""
        if self._sign is None or not self._tree.row().size:
            return None
        note, checkpoint = sign_tree(self._tree, self._sign)
        return None if checkpoint == self._published else (note, checkpoint)

    async def _published_beside(self, note: str, checkpoint: Checkpoint) -> None:
        try:
            await self._tasks.outside(lambda: self._publish_everywhere(note, checkpoint))
        finally:
            self._is_publishing = False
            self._seen = -1  # what was signed meanwhile, or could not be published, is to be yet

    def _publish_everywhere(self, note: str, checkpoint: Checkpoint) -> None:
        troubles = []
        for publish in self._publish:
            try:
                publish(note, checkpoint)
            except BucketError as error:
                troubles.append(error)
        for trouble in troubles:
            self._tell(trouble)
        if not troubles:
            self._published = checkpoint

    def _tell(self, error: Exception) -> None:
        if str(error) not in self._told:
            self._told.add(str(error))
            self.is_troubled(str(error))


def sign_tree(tree: Tree, sign: SignCheckpoint) -> tuple[str, Checkpoint]:
    """The store's tree as it is now, as a signed note. What is signed is kept first: never is anything signed that does
    not go on from it. Raises StoreError, SigningKeyError."""
    row = tree.row()
    if (row.signed_size, row.signed_root) != (row.size, row.root) or not row.note:
        row = tree.begin_signing()
    checkpoint = Checkpoint(row.origin, row.size, row.root)
    note = row.note
    if not note:
        note = sign(checkpoint, tree)
        tree.keep_note(note, checkpoint.size)
    return note, checkpoint


def _tell_nobody(why: str) -> None: ...
