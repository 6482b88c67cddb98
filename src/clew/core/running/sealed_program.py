"""A program with its plan, sealed: all that deciding about a run needs to know of its program.

Worked out once a program version and shared by all its runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from clew.core.program.model import Condition, Program, Stage
from clew.core.sealing.chain import SealedBlock


@dataclass(frozen=True, slots=True)
class SealedStage:
    """A stage in its place. `needs`: the stages it needs. `needed_outputs`: for each of them the names it
    reads, empty for plain order. `reads`: every name of the variables map that it reads."""

    stage: Stage
    block: int
    position: int
    needs: tuple[str, ...]
    needed_outputs: Mapping[str, tuple[str, ...]]
    reads: tuple[str, ...]
    output_names: tuple[str, ...]
    """The names it writes into the map: its outputs and its dependencies."""

    @property
    def name(self) -> str:
        return self.stage.name

    @property
    def leaves_nothing(self) -> bool:
        return self.stage.rollback.kind == "none"


@dataclass(frozen=True, slots=True)
class SealedProgram:
    """`blocks[k]` holds the stages of block k + 1; `conditions[k]` that block's own conditions."""

    program: Program
    version: str
    chain: tuple[SealedBlock, ...]
    blocks: tuple[tuple[SealedStage, ...], ...]
    conditions: tuple[tuple[Condition, ...], ...]
    stages: Mapping[str, SealedStage]

    @property
    def plan_hash(self) -> str:
        """The hash of the plan's last block, to which every journal of this version links."""
        return self.chain[-1].hash

    def block_hash(self, index: int) -> str:
        """The hash of the block of that index, from 1."""
        return self.chain[index - 1].hash
