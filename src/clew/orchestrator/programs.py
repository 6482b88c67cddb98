"""The program versions that this orchestrator knows, sealed; from the store when a run of one is taken up."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress

from clew.core.program.content import VERSION_TAG, content
from clew.core.program.model import Json, Program
from clew.core.program.problems import ProgramError
from clew.core.program.signatures import Signatures
from clew.core.running.sealed_program import SealedProgram, seal_program
from clew.core.sealing.canonical import canonical_bytes, tagged_hash
from clew.ports import Clock, Store, Unreadable

ReadDocument = Callable[[Json], Program]
"""Reads a program document; raises ProgramError with every mistake."""


class ProgramBook:
    """Sealed programs by version."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        signatures: Signatures,
        conditions: Signatures,
        read: ReadDocument,
    ) -> None:
        self._store = store
        self._clock = clock
        self._signatures = signatures
        self._conditions = conditions
        self._read = read
        self._sealed: dict[str, SealedProgram] = {}

    def seal(self, program: Program) -> SealedProgram:
        """Plan and seal a program. Raises ProgramError."""
        return seal_program(program, self._signatures, self._conditions)

    def register(self, sealed: SealedProgram) -> SealedProgram:
        """Keep the version and its chain in the store, once."""
        known = self._sealed.get(sealed.version)
        if known is not None:
            return known
        chain = [(block.index, block.content.decode(), block.hash) for block in sealed.chain]
        text = canonical_bytes(content(sealed.program)).decode()
        self._store.register_program(
            sealed.version, sealed.program.name, text, chain, registered_at=self._clock.now()
        )
        self._sealed[sealed.version] = sealed
        return sealed

    def of_version(self, version: str) -> SealedProgram:
        """The sealed program of a version that the store knows. Raises Unreadable when it is not the one that
        was sealed: what the store holds was changed, or is read otherwise by this version of clew."""
        return self._sealed.get(version) or self._take_up(version, lambda text: self._read(json.loads(text)))

    def be_reminded(self, version: str, program: Program) -> None:
        """That version may be this program, which need not be read anew then. Raises StoreError."""
        if version not in self._sealed:
            with suppress(Unreadable):  # it is another version
                self._take_up(version, lambda _: program)

    def _take_up(self, version: str, read: Callable[[str], Program]) -> SealedProgram:
        """Seal anew what the store has as that version, and see that it is the same. Raises Unreadable."""
        text = self._store.program(version)
        if text is None:
            raise Unreadable(f"the store has no program of version {version}")
        try:
            sealed = self.seal(read(text))
        except (ProgramError, ValueError) as error:
            why = f"program version {version} can't be read by this version of clew: {error}"
            raise Unreadable(why) from error
        stored = [(index, hash) for index, _, hash in self._store.chain(version)]
        is_same = tagged_hash(VERSION_TAG, text.encode()) == sealed.version == version
        if not is_same or stored != [(block.index, block.hash) for block in sealed.chain]:
            raise Unreadable(f"program version {version} is not what was sealed; verify the store")
        self._sealed[version] = sealed
        return sealed
