"""`resource_available`: enough of this machine is free."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping

from clew.conditions.interface import ConditionContext, checked, finding
from clew.core.program.demands import RESOURCE_AVAILABLE, read_size
from clew.ports import Finding, Json


def resource_available(context: ConditionContext, params: Mapping[str, Json]) -> Finding:
    return look_at_resources(params)


def look_at_resources(params: Mapping[str, Json]) -> Finding:
    """Compare what is asked for with what is free now. Raises ParamsError, and OSError where that can't be told."""
    checked(RESOURCE_AVAILABLE, params)
    wanted: dict[str, Json] = {name: read_size(params[name]) for name in ("memory", "disk") if name in params}
    if "cores" in params:
        wanted = {"cores": params["cores"], **wanted}
    free = {name: _free(name, params) for name in wanted}
    short = [
        f"{free[name]} of {wanted[name]} {_UNITS[name]} are free"
        for name in wanted
        if free[name] < wanted[name]
    ]
    compared = {"wanted": wanted, "free": free}
    return finding(RESOURCE_AVAILABLE, holds=not short, message="; ".join(short), compared=compared)


_UNITS = {"cores": "cores", "memory": "bytes of memory", "disk": "bytes of disk"}


def _free(name: str, params: Mapping[str, Json]) -> Json:
    if name == "cores":
        # What runs, or wants to, on average over the last minute: the one measure that every such system keeps.
        return max(0, round(_core_count() - os.getloadavg()[0], 1))
    if name == "memory":
        return _free_memory()
    return shutil.disk_usage(params.get("folder") or tempfile.gettempdir()).free


def _core_count() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _free_memory() -> int:
    """What can be had without swapping: on Linux more than is free, since caches give way."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except FileNotFoundError:
        pass
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
