"""Loads the examples' modules from their files, and runs the command line as a process, as a person would."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

EXAMPLES = Path(__file__).parents[2] / "examples"


def load_example(folder: str, name: str) -> ModuleType:
    """The module of that name in that folder of examples, which is no package: its name may have a dash."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / folder / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def clew(*words: str, folder: Path, exit_status: int = 0) -> str:
    """The standard output of `clew` with these words, run in that folder; it must end with that status."""
    done = subprocess.run(
        [sys.executable, "-m", "clew", *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == exit_status, (
        f"{words} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    )
    return done.stdout


def run(*words: str, folder: Path, exit_status: int = 0) -> Any:
    """What `clew run` says of the run that it made."""
    return json.loads(clew("run", *words, "--format", "json", folder=folder, exit_status=exit_status))


def files_in(folder: Path) -> dict[str, bytes]:
    """Every file below the folder, by its path within it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
