"""A program with its plan, sealed: all that deciding about a run needs to know of its program.

Worked out once a program version and shared by all its runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from itertools import count
from typing import TYPE_CHECKING

from msgspec import Struct

from clew.core.planning.plan import AFTER, PlannedStage, make_plan, stage_reads
from clew.core.program.content import content, version_of
from clew.core.program.model import NO_LIMITS, Condition, Program, Stage
from clew.core.program.needs import StageReads
from clew.core.program.params import signature_of
from clew.core.program.signatures import Signatures
from clew.core.program.variables import BUILT_IN_NAMES, ITEM_NAMES, names_in
from clew.core.sealing.chain import SealedBlock, seal

if TYPE_CHECKING:
    from clew.core.timing.windows import ProgramWindow


class SealedStage(Struct, frozen=True):
    """A stage in its place.

    `needs`: the stages it needs; `needed_outputs`: for each of them the names it reads, empty for plain order.
    `reads`: the names of the variables map that searching and executing read; then those that its conditions
    and its rollback read, its own outputs among them. `rollback_needs`: the names without whose values there is no
    rollback, of those that the program, the request and the stages give. `own_names`: what it writes.
    `leaves_nothing`: there is nothing to undo.
    """

    stage: Stage
    block: int
    position: int
    needs: tuple[str, ...]
    needed_outputs: Mapping[str, tuple[str, ...]]
    reads: tuple[str, ...]
    validate_reads: tuple[str, ...]
    rollback_reads: tuple[str, ...]
    rollback_needs: tuple[str, ...]
    own_names: tuple[str, ...]
    leaves_nothing: bool

    @property
    def name(self) -> str:
        return self.stage.name


class SealedProgram(Struct, frozen=True):
    """`blocks[k]` holds the stages of block k + 1; `conditions[k]` that block's own conditions."""

    program: Program
    version: str
    chain: tuple[SealedBlock, ...]
    blocks: tuple[tuple[SealedStage, ...], ...]
    conditions: tuple[tuple[Condition, ...], ...]
    stages: Mapping[str, SealedStage]
    places: tuple[tuple[int, str, int], ...]
    """Position, name and block of each stage, for the tracker."""
    has_limits: bool = False
    """Whether there is a time that can be up."""
    has_waits: bool = False
    """Whether there is a time until which a stage waits for its data."""
    window: ProgramWindow | None = None
    """Outside of which no stage begins."""

    limited: tuple[str, ...] = ()
    """The stages that are to be done by a time of their own."""
    keeps_time: bool = False
    """Whether time alone changes a run of it: a time is up, data has not come in time, its window opens or closes."""
    has_places: bool = False
    """Whether its runs need a place to be under way."""
    frees_places: bool = False
    """Whether a run that only waits for data leaves its place to another."""

    @property
    def plan_hash(self) -> str:
        """The hash of the plan's last block, to which every journal of this version links."""
        return self.chain[-1].hash

    def block_hash(self, index: int) -> str:
        """The hash of the block of that index, from 1."""
        return self.chain[index - 1].hash


def seal_program(program: Program, signatures: Signatures, conditions: Signatures) -> SealedProgram:
    """Plan the program and seal the plan. Raises ProgramError with every mistake in its names and order."""
    plan = make_plan(program, signatures, conditions)
    document = content(program)
    stage_content = {stage["name"]: stage for stage in document["stages"]}
    condition_content = document.get("validate", [])
    sealed_version = version_of(document)
    chain = seal(
        sealed_version,
        [[stage_content[planned.name] for planned in block.stages] for block in plan.blocks],
        conditions={block.index: [condition_content[at] for at in block.conditions] for block in plan.blocks},
    )
    models = {stage.name: stage for stage in program.stages}
    positions = count()
    blocks = tuple(
        tuple(
            _sealed_stage(
                models[planned.name], planned, block.index, next(positions), program, signatures, conditions
            )
            for planned in block.stages
        )
        for block in plan.blocks
    )
    has_limits = any(
        limits != NO_LIMITS for limits in (program.limits, *(one.limits for one in program.stages))
    )
    has_waits = any(
        one.dependencies and (one.backfill_milliseconds, program.backfill_milliseconds) != (None, None)
        for one in program.stages
    )
    window = _window_of(program)
    return SealedProgram(
        program,
        sealed_version,
        chain,
        blocks,
        tuple(tuple(program.validate[at] for at in block.conditions) for block in plan.blocks),
        {sealed.name: sealed for block in blocks for sealed in block},
        tuple((sealed.position, sealed.name, sealed.block) for block in blocks for sealed in block),
        has_limits=has_limits,
        has_waits=has_waits,
        window=window,
        limited=tuple(one.name for one in program.stages if one.limits.run_milliseconds is not None),
        keeps_time=has_limits or has_waits or window is not None,
        has_places=program.max_active_runs is not None,
        frees_places=program.max_active_runs is not None and program.run_order == "any",
    )


def _window_of(program: Program) -> ProgramWindow | None:
    if program.initial is None:
        return None
    # 10 ms to load, which only programs that say when they begin need.
    from clew.core.program.timing_keys import window_of

    return window_of(program)


def _sealed_stage(
    stage: Stage,
    planned: PlannedStage,
    block: int,
    position: int,
    program: Program,
    signatures: Signatures,
    conditions: Signatures,
) -> SealedStage:
    reads = stage_reads(stage, signatures, conditions, program=program)
    own = {output.name for output in stage.outputs} | {one.name for one in stage.dependencies}
    located = {one.name for one in stage.dependencies}
    needed: dict[str, list[str]] = {name: [] for name in planned.needed_stages}
    for need in planned.needs:
        if need.label != AFTER:
            needed[need.stage].append(need.label)
    return SealedStage(
        stage=stage,
        block=block,
        position=position,
        needs=planned.needed_stages,
        needed_outputs={name: tuple(labels) for name, labels in needed.items()},
        reads=tuple(sorted(reads.forward | located)),
        validate_reads=tuple(sorted(reads.validate | own | set(stage.inputs))),
        rollback_reads=tuple(sorted(reads.rollback | own | set(stage.inputs))),
        rollback_needs=tuple(sorted(_rollback_needs(stage, reads, own, program, signatures))),
        own_names=tuple(sorted(own)),
        leaves_nothing=_leaves_nothing(stage, program, signatures),
    )


def _rollback_needs(
    stage: Stage, reads: StageReads, own: Set[str], program: Program, signatures: Signatures
) -> Set[str]:
    """What its rollback refers to, and all that it is told where clew can't know what it takes of it: a function, or a
    plug-in. An item is found anew in what the stage is done for."""
    needed = reads.rollback | reads.rollback_own
    for command in stage.rollback.commands:
        signature = signature_of(command.name, program, signatures)
        if command.name == "python" or signature is None or signature.open_params:
            needed |= own | set(stage.inputs)
    if stage.for_each is not None and stage.rollback.commands:
        needed |= names_in(stage.for_each)
    given = BUILT_IN_NAMES | ITEM_NAMES | {custom.name for custom in program.custom_times}
    return needed - given


def _leaves_nothing(stage: Stage, program: Program, signatures: Signatures) -> bool:
    """The stage says so, or says nothing and runs only commands that can't leave anything."""
    if stage.rollback.kind != "undeclared":
        return stage.rollback.kind == "none"
    found = [signature_of(command.name, program, signatures) for command in stage.execute]
    return all(signature is not None and signature.leaves_nothing for signature in found)
