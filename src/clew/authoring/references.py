"""Programs by reference: `module:name`, the program of that name in a module of the user's."""

from __future__ import annotations

import re
import sys
from importlib import import_module

from clew.authoring.python_programs import FunctionProgram
from clew.core.program.problems import Problem, ProgramError, nearest

_REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)


def is_module_reference(text: str) -> bool:
    """Whether it looks like `module:name`."""
    return _REFERENCE.fullmatch(text) is not None


def load_reference(reference: str, folder: str) -> FunctionProgram:
    """The program that the module (found from `folder`, or installed) has under that name.

    The module is imported in this process. Raises ProgramError, whose problem says what went wrong.
    """
    module_name, _, name = reference.partition(":")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise _problem(reference, f"importing it needs the module '{error.name}'") from error
        raise _problem(reference, f"there is no module '{module_name}' in {folder}") from error
    except Exception as error:
        raise _problem(reference, f"importing it failed: {type(error).__name__}: {error}") from error
    found = getattr(module, name, None)
    if not isinstance(found, FunctionProgram):
        programs = [key for key, value in vars(module).items() if isinstance(value, FunctionProgram)]
        hint = nearest(name, programs) or (f"it has {', '.join(programs)}" if programs else "it has none")
        raise _problem(reference, f"'{name}' is no program of that module", hint)
    return found


def _problem(reference: str, what: str, hint: str = "") -> ProgramError:
    return ProgramError([Problem((reference,), what, hint)])
