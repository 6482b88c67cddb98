"""What a worker does: perform the request's commands, or test its conditions, and say what came of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from itertools import count
from types import TracebackType
from typing import TYPE_CHECKING, Any

from clew.attempt.ending import Ending
from clew.attempt.preparation import Prepared
from clew.buckets import open_bucket
from clew.commands.interface import CommandContext, CommandError, CommandResult
from clew.commands.performing import find, perform, perform_prepared
from clew.core.program.model import Json
from clew.core.running import statuses
from clew.core.running.json_values import NotJson, to_json
from clew.core.running.outputs import STDOUT, OutputMissing, outputs_of
from clew.ports import (
    AttemptError,
    AttemptReport,
    AttemptRequest,
    Bucket,
    Doubles,
    Finding,
    SourceRequest,
    WorkItem,
)
from clew.trust.secrets import fill, find_references

if TYPE_CHECKING:
    from clew.commands.doubles import DoubledCommands

SOURCE = "source"
"""The folder in the work folder in which fetched code lies, and is run: apart from what the commands put beside it."""

WAITS_FOR_A_PROCESS = frozenset({"shell"})
"""The commands whose own processes answer a request to end."""


def carry_out(request: AttemptRequest, prepared: Prepared, ending: Ending) -> AttemptReport:
    """Do the work. What goes wrong is in the report; SystemExit comes through if it is asked to end."""
    if request.doubles is not None:
        sys.dont_write_bytecode = True  # a rehearsal leaves nothing beside the program
    work = _Work(request, prepared, ending)
    try:
        if request.source is not None:
            refused = work.fetch(request.source)
            if refused is not None:
                return refused
        if request.work == "test":
            return AttemptReport(outcome="completed", findings=work.test())
        return work.perform()
    except BaseException as error:
        if ending.is_asked:
            raise
        return AttemptReport(outcome="failed", error=_told(error))


class _Work:
    def __init__(self, request: AttemptRequest, prepared: Prepared, ending: Ending) -> None:
        self._request = request
        self._ending = ending
        self._scope = dict(request.scope)
        self._items = _with_secrets(request.items, prepared.secrets, self._scope)
        self._bucket_environment = prepared.bucket_environment
        self._prepared = prepared
        self._context = self._context_of(prepared)

    def _context_of(self, prepared: Prepared) -> CommandContext:
        request = self._request
        is_rollback = request.work == "rollback"
        return CommandContext(
            program=request.program,
            run_id=request.run_id,
            stage=request.stage,
            attempt=request.attempt,
            idempotency_key=request.idempotency_key,
            bucket=self._bucket,
            work_folder=prepared.work_folder,
            folder=request.folder,
            environment=prepared.environment,
            inputs={name: request.scope[name] for name in request.inputs if name in request.scope},
            output_size_max=request.output_size_max,
            captures_stdout=any(output.source == STDOUT for output in request.outputs),
            outcome=request.scope.get("outcome") if is_rollback else None,
            attempts=request.scope.get("attempts") if is_rollback else None,
            rollback_idempotency_key=request.scope.get("rollback_idempotency_key") if is_rollback else None,
            kept=request.kept,
            left=request.left,
            kept_bucket=request.kept_bucket,
        )

    def _bucket(self, name_or_url: str) -> Bucket:
        buckets, doubles = self._request.buckets, self._request.doubles
        if doubles is not None:
            from clew.buckets.confining import NoDouble, confined  # rehearsals only

            try:
                name_or_url = confined(name_or_url, buckets, doubles)
            except NoDouble as error:
                raise CommandError("no_double", str(error)) from error
        return open_bucket(name_or_url, buckets, self._bucket_environment)

    def fetch(self, source: SourceRequest) -> AttemptReport | None:
        """Have the code, and be where it is; or what to say of an attempt that ends here."""
        from clew.sources.fetching import NotFetched, Places, fetch  # most stages have no source

        folder = self._prepared.work_folder
        places = Places(
            target=os.path.join(folder, SOURCE),
            scratch=os.path.join(folder, "git"),
            base=self._request.folder,
            is_confined=self._request.doubles is not None,
        )
        try:
            fetched = fetch(source, self._scope, self._bucket, places, self._prepared.environment)
        except NotFetched as error:
            outcome = statuses.FAILED if error.is_final else statuses.NOT_BEGUN
            return AttemptReport(outcome=outcome, error=AttemptError(error.kind, str(error)))
        if self._request.work == "fetch":
            return AttemptReport(outcome=statuses.COMPLETED, result=fetched._asdict())
        os.chdir(places.target)
        sys.path.insert(0, places.target)
        return None

    def perform(self) -> AttemptReport:
        if self._request.found:
            from clew.buckets.checking import check_found  # few attempts have any

            refused = check_found(self._request.found, self._bucket)
            if refused is not None:
                return refused
        last = CommandResult()
        for item in self._items:
            with self._ending.deferred() if item.name in WAITS_FOR_A_PROCESS else nullcontext():
                last = _settled(self._perform(item))
        result = to_json(last.value)
        outputs = outputs_of(self._request.outputs, result, last.stdout)
        return AttemptReport(outcome="completed", result=result, outputs=outputs)

    def _perform(self, item: WorkItem) -> Any:
        if self._request.doubles is None:
            return perform(item.name, item.params, self._context, self._scope)
        return self._doubled(self._request.doubles).perform(item.name, item.params)

    def _perform_filled_in(self, name: str, params: Mapping[str, Json]) -> Any:
        signature, function = find(name)
        if self._request.doubles is None:
            return perform_prepared(function, params, self._context)
        return self._doubled(self._request.doubles).perform_prepared(signature, function, params)

    def _doubled(self, doubles: Doubles) -> DoubledCommands:
        from clew.buckets.confining import copied_folder  # rehearsals only
        from clew.commands.doubles import DoubledCommands

        copied = partial(copied_folder, doubles=doubles)
        return DoubledCommands(self._context, self._scope, doubles, copied)

    def _lead(self, address: str) -> str:
        if self._request.doubles is None:
            return address
        from clew.commands.doubles import doubled_address  # rehearsals only

        return doubled_address(address, self._request.doubles)

    def test(self) -> tuple[Finding, ...]:
        # Half of the attempts never test anything.
        from clew.buckets.searching import search
        from clew.conditions.interface import ConditionContext
        from clew.conditions.testing import test

        def perform_filled_in(name: str, params: Mapping[str, Json]) -> Any:
            result = self._perform_filled_in(name, params)
            return _value_later(result) if hasattr(result, "__await__") else result.value

        context = ConditionContext(
            scope=self._scope,
            search=lambda conversation: search(conversation, self._bucket),
            perform=perform_filled_in,
            lead=self._lead,
        )
        return tuple(_settled(test(item.name, item.params, context)) for item in self._items)


async def _value_later(result: Any) -> Json:
    return (await result).value


def _settled(result: Any) -> Any:
    """The result, waited for on an event loop of its own if it is awaitable."""
    if not hasattr(result, "__await__"):
        return result
    import asyncio  # 65 ms that plain functions need not pay

    async def settle() -> Any:
        return await result

    return asyncio.run(settle())


def _with_secrets(
    items: tuple[WorkItem, ...], secrets: Mapping[str, str], scope: dict[str, Json]
) -> tuple[WorkItem, ...]:
    """The items with a name of the scope, which then holds the secret, in place of each `secret:NAME` that
    the program itself states. One that only a variable's value states is a text like any other: were it
    filled in, whoever sets a variable could read secrets."""
    if not secrets:
        return items
    references = {}
    for name, number in zip(secrets, count()):
        unique = f"secret{number}"
        while unique in scope:
            unique += "_"
        scope[unique] = secrets[name]
        references[name] = f"{{{unique}}}"
    return tuple(
        WorkItem(item.name, fill(item.params, references)) if find_references(item.params) else item
        for item in items
    )


def _told(error: BaseException) -> AttemptError:
    if isinstance(error, CommandError):
        return AttemptError(error.kind, error.message, error.detail)
    if isinstance(error, (NotJson, OutputMissing)):
        return AttemptError("output", str(error))
    import traceback  # only failures need it

    lines = traceback.format_exception(type(error), error, _of_the_user(error.__traceback__))
    detail = "".join(lines)
    sys.stderr.write(detail)
    return AttemptError(type(error).__name__, str(error) or type(error).__name__, detail)


def _of_the_user(trace: TracebackType | None) -> TracebackType | None:
    """Without clew's own frames at its beginning, which say nothing about the mistake."""
    own = __name__.partition(".")[0]
    found = trace
    while found is not None and found.tb_frame.f_globals.get("__name__", "").partition(".")[0] == own:
        found = found.tb_next
    return found or trace
