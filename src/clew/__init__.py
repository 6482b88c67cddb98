"""clew: durable programs made of stages, which know their order by their data and how to undo what they did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clew.authoring.decorators import stage
    from clew.core.program.problems import ProgramError
    from clew.embedded import Program, RunResult, Session, open_session
    from clew.operations import RequestError
    from clew.ports import StoreBusy, StoreError

_HOME = {
    "Program": "clew.embedded",
    "ProgramError": "clew.core.program.problems",
    "RequestError": "clew.operations",
    "RunResult": "clew.embedded",
    "Session": "clew.embedded",
    "StoreBusy": "clew.ports",
    "StoreError": "clew.ports",
    "open_session": "clew.embedded",
    "stage": "clew.authoring.decorators",
}
"""Where each public name lives. They are loaded when they are asked for: a worker needs none of them."""

__all__ = [
    "Program",
    "ProgramError",
    "RequestError",
    "RunResult",
    "Session",
    "StoreBusy",
    "StoreError",
    "open_session",
    "stage",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'clew' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)
