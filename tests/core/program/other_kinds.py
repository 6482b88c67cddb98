"""Dependencies that are neither files nor inputs, for the tests beside this file."""

from __future__ import annotations

from typing import Any

OTHER_KINDS: dict[str, Any] = {
    "total": {"kind": "variable", "program": "{program_name}", "output": "sum", "default": None},
    "other": {"kind": "variable", "program": "q", "output": "sum"},
    "loads": {"kind": "program", "program": "loads"},
    "before": {"kind": "program", "program": "p", "offset": "-1 day"},
    "room": {"kind": "resource", "cores": 2, "memory": "{other.memory}"},
    "ledger": {"kind": "infrastructure", "host": "{other.host}", "port": 5432},
    "market": {"kind": "market", "params": {"code": ["{other}"]}, "timeout": "5 seconds"},
    "own": {"kind": "lib.checks:is_open"},
}
"""A stage's dependencies of every kind but files and inputs."""
