"""`@stage`: a function that is a stage, and what is said of it. `stages_of_functions.py` makes the stage of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Literal, ParamSpec, TypeVar, overload

from clew.authoring.functions import fields_of_result, required_names
from clew.core.program.model import Json, Output, Retry
from clew.core.program.variables import BUILT_IN_NAMES, ITEM_NAMES, TemplateError, names_in

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])
Function = Callable[..., Any]
Retries = Retry | Mapping[str, Any] | int | None
"""A retry policy, a mapping as in a file, or just the number of attempts."""
Rollbacks = Literal["none", "impossible"] | Mapping[str, Any] | None
"""How a stage without a function for it is undone: a word, or a mapping as in a file."""


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

    @property
    def dependency_names(self) -> tuple[str, ...]:
        """The names of the data that the stage waits for."""
        said = self.said.get("dependencies")
        return tuple(said) if isinstance(said, Mapping) else ()

    @property
    def names_given(self) -> frozenset[str]:
        """The names that clew gives the stage's function."""
        return BUILT_IN_NAMES if self.said.get("for_each") is None else BUILT_IN_NAMES | ITEM_NAMES

    @property
    def names_asked(self) -> tuple[str, ...]:
        """The names that the stage can't do without: parameters without a default, and what it is done for."""
        try:
            each = sorted(names_in(self.said.get("for_each")))
        except TemplateError:
            # It is told when the program is read.
            each = []
        return tuple(
            dict.fromkeys(
                name
                for name in (*required_names(self.function), *each)
                if name not in self.names_given and name not in self.dependency_names
            )
        )

    @overload
    def rollback(self, function: F) -> F: ...

    @overload
    def rollback(
        self,
        *,
        retry: Retries = None,
        timeout: str | None = None,
        restore: Sequence[str] = (),
        to: StageFunction[..., Any] | str | None = None,
        attempts: int = 1,
        on_failure: Literal["hold", "continue"] = "hold",
    ) -> Callable[[F], F]: ...

    def rollback(
        self,
        function: Function | None = None,
        *,
        retry: Retries = None,
        timeout: str | None = None,
        restore: Sequence[str] = (),
        to: StageFunction[..., Any] | str | None = None,
        attempts: int = 1,
        on_failure: Literal["hold", "continue"] = "hold",
    ) -> Function:
        """Undo the stage by this function; its parameters are inputs, the stage's own outputs (None where it
        wrote none), `outcome`, `attempts`, and what is built in.

        `restore`: places whose objects are put back after it. `to`: the stage (or its name) back to which the
        run goes when this one fails for good, up to `attempts` times. `on_failure`: whether the other
        rollbacks are held or continue when this one fails for good.
        """

        def add(function: Function) -> Function:
            self.rollback_function = function
            self.rollback_said = {
                "retry": retry, "timeout": timeout, "restore": restore, "to": to, "attempts": attempts,
                "on_failure": on_failure,
            }  # fmt: skip
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
            return tuple(Output(name) for name in fields_of_result(self.function))
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
    dependencies: Mapping[str, Mapping[str, Json]] | None = None,
    for_each: str | Sequence[Json] | None = None,
    max_parallel: int | None = None,
    retry: Retries = None,
    timeout: str | None = None,
    delay: str | Mapping[str, Any] | None = None,
    backfill: str | None = None,
    monitor: str | Mapping[str, str] | None = None,
    rollback: Rollbacks = None,
    source: Any = None,
    executor: str = "local",
) -> Callable[[Callable[P, R]], StageFunction[P, R]]: ...


def stage(
    function: Function | None = None,
    *,
    name: str | None = None,
    outputs: Sequence[str] | Mapping[str, Mapping[str, Json]] | None = None,
    after: Sequence[Any] = (),
    when: str | None = None,
    dependencies: Mapping[str, Mapping[str, Json]] | None = None,
    for_each: str | Sequence[Json] | None = None,
    max_parallel: int | None = None,
    retry: Retries = None,
    timeout: str | None = None,
    delay: str | Mapping[str, Any] | None = None,
    backfill: str | None = None,
    monitor: str | Mapping[str, str] | None = None,
    rollback: Rollbacks = None,
    source: Any = None,
    executor: str = "local",
) -> Any:
    """Make a function a stage of a program.

    Its inputs are its parameters; those that nothing produces are variables of the request. `outputs` are the
    names that it writes. `after`: stages (or their names) that come before it without giving it data.
    `dependencies`: by name the data that it waits for, as in a file, with the `delay` between two looks.
    `for_each`: a `{reference}` to a list, or a list; the function is called for each of its values, which it
    may take as `item`, and its place as `index`. `retry`: a mapping as in a file, or the number of attempts.
    `timeout`: of one attempt, as people write it. `backfill` and `monitor`: how long it may wait for its data, and
    until when it is to be done, where that is not what the program says. `rollback="none"` says that it leaves
    nothing to undo, `"impossible"` that it is a point of no return; a mapping says what a file's can. `source` is for
    stages whose code is fetched; that of a function is here already, so that saying one is a mistake.
    """
    said = {
        "name": name, "outputs": outputs, "after": after, "when": when, "dependencies": dependencies,
        "for_each": for_each, "max_parallel": max_parallel, "retry": retry, "timeout": timeout, "delay": delay,
        "backfill": backfill, "monitor": monitor,
        "rollback": rollback, "source": source, "executor": executor,
    }  # fmt: skip

    def make(function: Function) -> StageFunction[Any, Any]:
        return StageFunction(function, said)

    return make if function is None else make(function)
