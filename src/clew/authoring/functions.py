"""What a function says of itself: by which reference it is found again, what it takes, what it gives."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any


def reference_of(function: Callable[..., Any]) -> str:
    """How a function is recorded: `module:qualname`. What a script defines is found again by the script's name,
    not as `__main__`, which is something else for whoever resumes the run."""
    return f"{module_of(function)}:{function.__qualname__}"


def module_of(function: Callable[..., Any]) -> str:
    """The module under which another process finds the function."""
    if function.__module__ != "__main__":
        return function.__module__
    main = sys.modules["__main__"]
    if main.__spec__ is not None:  # python -m module
        return main.__spec__.name
    path = getattr(main, "__file__", None)
    return "__main__" if path is None else os.path.basename(path).removesuffix(".py")


def parameters_of(function: Callable[..., Any], known: frozenset[str]) -> list[str]:
    """The names of the parameters that get a value: all without a default, and the others where known."""
    code = function.__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    optional = set(names[code.co_argcount - len(function.__defaults__ or ()) : code.co_argcount])
    optional |= set(function.__kwdefaults__ or ())
    return [name for name in names if name not in optional or name in known]


def required_names(function: Callable[..., Any]) -> list[str]:
    """The parameters without a default."""
    return parameters_of(function, frozenset())


def default_values(function: Callable[..., Any]) -> dict[str, Any]:
    """The parameters with a default, and it."""
    code, defaults = function.__code__, function.__defaults__ or ()
    positional = code.co_varnames[: code.co_argcount]
    return {**dict(zip(positional[len(positional) - len(defaults) :], defaults, strict=True)),
            **(function.__kwdefaults__ or {})}  # fmt: skip


def fields_of_result(function: Callable[..., Any]) -> list[str]:
    """The fields of an annotated dataclass, NamedTuple or TypedDict."""
    annotation: Any = function.__annotations__.get("return")
    if isinstance(annotation, str):
        from typing import get_type_hints  # only strings need evaluating

        annotation = get_type_hints(function).get("return")
    if hasattr(annotation, "__dataclass_fields__"):
        from dataclasses import fields

        return [field.name for field in fields(annotation)]
    if isinstance(annotation, type) and hasattr(annotation, "_fields"):
        return list(annotation._fields)
    if isinstance(annotation, type) and hasattr(annotation, "__total__"):
        return list(annotation.__annotations__)
    return []
