"""Programs whose stages are Python functions: `@stage`, and what it makes of a function's signature."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Literal, ParamSpec, TypeVar, overload

from clew.core.program.durations import read_duration
from clew.core.program.model import HOUR, SECOND, Command, Condition, Json, Output, Retry, Rollback, Stage
from clew.core.program.variables import BUILT_IN_NAMES, ROLLBACK_NAMES

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])
Function = Callable[..., Any]
Retries = Retry | Mapping[str, Any] | int | None
"""A retry policy, a mapping as in a file, or just the number of attempts."""


class StageFunction(Generic[P, R]):
    """A function that is a stage. Calling it calls the function; `rollback` and `validate` add to the stage."""

    def __init__(self, function: Callable[P, R], said: Mapping[str, Any]) -> None:
        self.function = function
        self.said = dict(said)
        self.rollback_function: Callable[..., Any] | None = None
        self.rollback_said: dict[str, Any] = {}
        self.conditions: list[tuple[Callable[..., Any], dict[str, Any]]] = []
        self.__name__ = function.__name__
        self.__qualname__ = function.__qualname__
        self.__module__ = function.__module__
        self.__doc__ = function.__doc__

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    @property
    def name(self) -> str:
        """The stage's name: the function's, unless another was given."""
        return str(self.said.get("name") or self.function.__name__)

    @overload
    def rollback(self, function: F) -> F: ...

    @overload
    def rollback(self, *, retry: Retries = None, timeout: str | None = None) -> Callable[[F], F]: ...

    def rollback(
        self, function: Function | None = None, *, retry: Retries = None, timeout: str | None = None
    ) -> Function:
        """Undo the stage by this function; its parameters are inputs, the stage's own outputs (None where it
        wrote none), `outcome`, `attempts`, and what is built in."""

        def add(function: Function) -> Function:
            self.rollback_function = function
            self.rollback_said = {"retry": retry, "timeout": timeout}
            return function

        return add if function is None else add(function)

    @overload
    def validate(self, function: F) -> F: ...

    @overload
    def validate(
        self, *, maximum_time: str | None = None, interval: str | None = None, reexecute: bool = False
    ) -> Callable[[F], F]: ...

    def validate(
        self,
        function: Function | None = None,
        *,
        maximum_time: str | None = None,
        interval: str | None = None,
        reexecute: bool = False,
    ) -> Function:
        """Check the stage by this function: false, an exception or a text (why not) is not held."""

        def add(function: Function) -> Function:
            said = {"maximum_time": maximum_time, "interval": interval, "reexecute": reexecute}
            self.conditions.append((function, said))
            return function

        return add if function is None else add(function)

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The declared outputs, or the fields of the annotated return type."""
        said = self.said.get("outputs")
        if said is None:
            return tuple(Output(name) for name in _fields_of_result(self.function))
        if isinstance(said, Mapping):
            return tuple(
                Output(name, more.get("from"), "default" in more, more.get("default"))
                for name, more in said.items()
            )
        return tuple(Output(name) for name in said)


@overload
def stage(function: Callable[P, R], /) -> StageFunction[P, R]: ...


@overload
def stage(
    *,
    name: str | None = None,
    outputs: Sequence[str] | Mapping[str, Mapping[str, Json]] | None = None,
    after: Sequence[Any] = (),
    when: str | None = None,
    retry: Retries = None,
    timeout: str | None = None,
    rollback: Literal["none"] | None = None,
    executor: str = "local",
) -> Callable[[Callable[P, R]], StageFunction[P, R]]: ...


def stage(
    function: Function | None = None,
    *,
    name: str | None = None,
    outputs: Sequence[str] | Mapping[str, Mapping[str, Json]] | None = None,
    after: Sequence[Any] = (),
    when: str | None = None,
    retry: Retries = None,
    timeout: str | None = None,
    rollback: Literal["none"] | None = None,
    executor: str = "local",
) -> Any:
    """Make a function a stage of a program.

    Its inputs are its parameters; those that nothing produces are variables of the request. `outputs` are the
    names that it writes. `after`: stages (or their names) that come before it without giving it data. `retry`:
    a mapping as in a file, or the number of attempts. `timeout`: of one attempt, as people write it.
    `rollback="none"` says that it leaves nothing to undo.
    """
    said = {
        "name": name, "outputs": outputs, "after": after, "when": when, "retry": retry, "timeout": timeout,
        "rollback": rollback, "executor": executor,
    }  # fmt: skip

    def make(function: Function) -> StageFunction[Any, Any]:
        return StageFunction(function, said)

    return make if function is None else make(function)


def stage_model(function: StageFunction[..., Any], produced: frozenset[str]) -> Stage:
    """The stage that a decorated function stands for. `produced`: every name that the program's variables and
    stages make, so that a parameter with a default that nothing produces keeps its default."""
    said = function.said
    parameters = _parameters(function.function, produced | BUILT_IN_NAMES)
    return Stage(
        name=function.name,
        execute=(_command(function.function, parameters),),
        inputs=tuple(name for name in parameters if name not in BUILT_IN_NAMES),
        outputs=function.outputs,
        after=tuple(each if isinstance(each, str) else each.name for each in said.get("after", ())),
        when=said.get("when"),
        validate=tuple(_condition(condition, more, produced) for condition, more in function.conditions),
        rollback=_rollback(function, produced),
        retry=_retry(said.get("retry")),
        timeout_milliseconds=_duration(said.get("timeout"), HOUR),
        executor=said.get("executor") or "local",
    )


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


def _command(function: Callable[..., Any], parameters: Sequence[str]) -> Command:
    return Command("python", _function_params(function, parameters))


def _function_params(function: Callable[..., Any], parameters: Sequence[str]) -> dict[str, Json]:
    return {"function": reference_of(function), "with": {name: f"{{{name}}}" for name in parameters}}


def _condition(function: Callable[..., Any], said: Mapping[str, Any], produced: frozenset[str]) -> Condition:
    params = _function_params(function, _parameters(function, produced | BUILT_IN_NAMES))
    longest = said.get("maximum_time")
    return Condition(
        "python",
        params,
        maximum_time_milliseconds=None if longest is None else read_duration(longest),
        interval_milliseconds=_duration(said.get("interval"), SECOND),
        reexecute=bool(said.get("reexecute")),
    )


def _rollback(function: StageFunction[..., Any], produced: frozenset[str]) -> Rollback:
    undo = function.rollback_function
    if undo is None:
        return Rollback("none" if function.said.get("rollback") == "none" else "undeclared")
    parameters = _parameters(undo, produced | BUILT_IN_NAMES | ROLLBACK_NAMES)
    said = function.rollback_said
    return Rollback(
        "commands",
        (_command(undo, parameters),),
        _retry(said.get("retry")),
        _duration(said.get("timeout"), HOUR),
    )


def _retry(said: Any) -> Retry:
    if said is None:
        return Retry()
    if isinstance(said, Retry):
        return said
    if isinstance(said, int):
        return Retry(attempts=said)
    default = Retry()
    on = said.get("on", default.on)
    return Retry(
        attempts=said.get("attempts", default.attempts),
        delay_milliseconds=_duration(said.get("delay"), default.delay_milliseconds),
        growth=said.get("growth", default.growth),
        maximum_delay_milliseconds=_duration(said.get("maximum_delay"), default.maximum_delay_milliseconds),
        jitter=said.get("jitter", default.jitter),
        on=(on,) if isinstance(on, str) else tuple(on),
    )


def _duration(said: Any, default: int) -> int:
    return default if said is None else read_duration(said)


def _parameters(function: Callable[..., Any], known: frozenset[str]) -> list[str]:
    """The names of the parameters that get a value: all without a default, and the others where known."""
    code = function.__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    optional = set(names[code.co_argcount - len(function.__defaults__ or ()) : code.co_argcount])
    optional |= set(function.__kwdefaults__ or ())
    return [name for name in names if name not in optional or name in known]


def required_names(function: Callable[..., Any]) -> list[str]:
    """The parameters without a default."""
    return _parameters(function, frozenset())


def default_values(function: Callable[..., Any]) -> dict[str, Any]:
    """The parameters with a default, and it."""
    code, defaults = function.__code__, function.__defaults__ or ()
    positional = code.co_varnames[: code.co_argcount]
    return {**dict(zip(positional[len(positional) - len(defaults) :], defaults, strict=True)),
            **(function.__kwdefaults__ or {})}  # fmt: skip


def _fields_of_result(function: Callable[..., Any]) -> list[str]:
    """The fields of an annotated dataclass, NamedTuple or TypedDict."""
    annotation = function.__annotations__.get("return")
    if isinstance(annotation, str):
        from typing import get_type_hints  # only strings need evaluating

        annotation = get_type_hints(function).get("return")
    if dataclasses.is_dataclass(annotation):
        return [field.name for field in dataclasses.fields(annotation)]
    if isinstance(annotation, type) and hasattr(annotation, "_fields"):
        return list(annotation._fields)
    if isinstance(annotation, type) and hasattr(annotation, "__total__"):
        return list(annotation.__annotations__)
    return []
