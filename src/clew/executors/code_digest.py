"""The digest of a Python function's source text, found without running any of it."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256
from importlib.machinery import ModuleSpec, PathFinder

CODE_TAG = b"clew/code/v1\n"

SOURCE_SIZE_MAX = 8 * 1024 * 1024
"""Ten times the largest modules people write; what is larger was generated, and is read whole into memory."""
_FILES_KEPT_MAX = 256
"""More modules than the programs of one orchestrator take their functions from."""


def code_digest(reference: str, folder: str) -> str | None:
    """Hex SHA-256 of the tag and the source of `module:qualified.name`, decorators included.

    The module is looked for in `folder`, then where Python looks. Of a name that its module imports or
    computes the whole module is the source. None when it has no source, as those built in. Raises
    LookupError when there is no such module, or nothing of that name in its source.
    """
    module, _, name = reference.partition(":")
    path = _source_file(module, folder)
    if path is None:
        return None
    facts = os.stat(path)
    digests = _digests(path, facts.st_mtime_ns, facts.st_size)
    found = digests.get(name, digests.get("*"))  # the star of `from module import *`
    if found is None:
        raise LookupError(f"module '{module}' ({path}) defines no '{name}'")
    return found


def _source_file(module: str, folder: str) -> str | None:
    if module in sys.builtin_module_names:
        return None
    spec: ModuleSpec | None = None
    places: list[str] | None = [folder or os.getcwd(), *sys.path]
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        full_name = ".".join(parts[:count])
        spec = PathFinder.find_spec(full_name, places)
        if spec is None:
            raise LookupError(f"there is no module '{full_name}' in '{folder}' or where Python looks")
        places = list(spec.submodule_search_locations or ())
    origin = spec.origin if spec is not None and spec.has_location else None
    return origin if origin is not None and origin.endswith(".py") else None


@lru_cache(maxsize=_FILES_KEPT_MAX)
def _digests(path: str, modified_at: int, size: int) -> dict[str, str]:
    """The digests by qualified name; `modified_at` and `size` tell one content of the file from the next."""
    if size > SOURCE_SIZE_MAX:
        raise LookupError(f"{path} has {size} bytes; source of more than {SOURCE_SIZE_MAX} is not read")
    with open(path, "rb") as file:
        text = file.read()
    try:
        tree = ast.parse(text, path)
    except (SyntaxError, ValueError) as error:
        raise LookupError(f"{path} can't be read as Python: {error}") from error
    lines = text.splitlines(keepends=True)
    whole = sha256(CODE_TAG + text).hexdigest()
    return {
        name: whole if span is None else sha256(CODE_TAG + b"".join(lines[slice(*span)])).hexdigest()
        for name, span in _names(tree.body, "")
    }


def _names(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, tuple[int, int] | None]]:
    """Each name that the statements bind, with the lines that define it; where a name is bound twice the last
    counts, as when the module is run. None stands for one that is imported or computed: all may matter."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            first = min((node.lineno, *(decorator.lineno for decorator in node.decorator_list)))
            yield prefix + node.name, (first - 1, node.end_lineno or first)
            if isinstance(node, ast.ClassDef):
                yield from _names(node.body, f"{prefix}{node.name}.")
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                yield prefix + (alias.asname or alias.name), None
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            named = [one for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)]
            yield from ((prefix + one.id, None) for one in named)
        else:
            for inner in ("body", "orelse", "finalbody"):
                yield from _names(getattr(node, inner, []), prefix)
            for handler in getattr(node, "handlers", ()):
                yield from _names(handler.body, prefix)
