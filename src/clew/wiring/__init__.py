"""The only part that knows every concrete class: it opens what keeps the ports' promises and hands it over.

What is asked for is loaded when it is asked for: reading a tracker needs none of what driving a run needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clew.wiring.backfills import (
        backfill_store,
        foresee_backfill,
        known_program,
        make_backfill,
    )
    from clew.wiring.diagnosing import diagnose
    from clew.wiring.orchestrators import instruct, open_local_executor, open_orchestrator, queue_run
    from clew.wiring.programs import (
        describe_month,
        describe_plan,
        due_times,
        explain_time,
        find_files,
        load_program,
        program_schema,
        read_document,
        seal,
        unknown_secrets,
        zone_data_release,
    )
    from clew.wiring.records import log_path, open_records, open_store, probe, shown
    from clew.wiring.retaining import new_shelf
    from clew.wiring.scheduling import list_programs, now, pause_program

_HOME = {
    "backfill_store": "clew.wiring.backfills",
    "foresee_backfill": "clew.wiring.backfills",
    "known_program": "clew.wiring.backfills",
    "make_backfill": "clew.wiring.backfills",
    "new_shelf": "clew.wiring.retaining",
    "now": "clew.wiring.scheduling",
    "diagnose": "clew.wiring.diagnosing",
    "describe_month": "clew.wiring.programs",
    "describe_plan": "clew.wiring.programs",
    "due_times": "clew.wiring.programs",
    "explain_time": "clew.wiring.programs",
    "find_files": "clew.wiring.programs",
    "instruct": "clew.wiring.orchestrators",
    "list_programs": "clew.wiring.scheduling",
    "load_program": "clew.wiring.programs",
    "log_path": "clew.wiring.records",
    "open_local_executor": "clew.wiring.orchestrators",
    "open_orchestrator": "clew.wiring.orchestrators",
    "open_records": "clew.wiring.records",
    "open_store": "clew.wiring.records",
    "pause_program": "clew.wiring.scheduling",
    "probe": "clew.wiring.records",
    "program_schema": "clew.wiring.programs",
    "queue_run": "clew.wiring.orchestrators",
    "read_document": "clew.wiring.programs",
    "seal": "clew.wiring.programs",
    "shown": "clew.wiring.records",
    "unknown_secrets": "clew.wiring.programs",
    "zone_data_release": "clew.wiring.programs",
}

__all__ = [
    "backfill_store",
    "describe_month",
    "describe_plan",
    "diagnose",
    "due_times",
    "explain_time",
    "find_files",
    "foresee_backfill",
    "instruct",
    "known_program",
    "list_programs",
    "load_program",
    "log_path",
    "make_backfill",
    "new_shelf",
    "now",
    "open_local_executor",
    "open_orchestrator",
    "open_records",
    "open_store",
    "pause_program",
    "probe",
    "program_schema",
    "queue_run",
    "read_document",
    "seal",
    "shown",
    "unknown_secrets",
    "zone_data_release",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'clew.wiring' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)
