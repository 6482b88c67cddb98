"""All that has to be there before a worker starts: its secrets, environment, work folder and log."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from clew.attempt.folders import remove_folder
from clew.buckets.environment import bucket_environment
from clew.core.program.model import Json
from clew.ports import AttemptError, AttemptReport, AttemptRequest, SecretSource
from clew.trust.secrets import ASKED_KINDS, SecretError, fill, find_references, resolve

if TYPE_CHECKING:
    from clew.trust.redaction import Redactor

KEPT_NAMES = ("PATH", "HOME", "LANG", "TZ")
"""All that an attempt has of the orchestrator's environment, in which secrets of others may be."""

RESERVED_PREFIXES = ("CLEW_", "LD_", "DYLD_", "PYTHON")
"""The first is for clew to say; the others choose what code is loaded into every process of the attempt."""
RESERVED_NAMES = frozenset({"BASH_ENV", "ENV", "GCONV_PATH", "GLIBC_TUNABLES", "IFS"})
HARMLESS_NAMES = frozenset(
    {"PYTHONDONTWRITEBYTECODE", "PYTHONHASHSEED", "PYTHONIOENCODING", "PYTHONUNBUFFERED", "PYTHONUTF8"}
)

DETAIL_SIZE_MAX = 16 * 1024
"""A traceback of a hundred frames; the whole of it is in the log."""
MESSAGE_SIZE_MAX = 2 * 1024


class Refused(Exception):
    """The attempt can't begin, and why."""

    def __init__(self, kind: str, message: str, *, outcome: str = "failed") -> None:
        self.outcome = outcome
        self.error = AttemptError(kind, message)
        super().__init__(message)


class Prepared(NamedTuple):
    """What the worker gets; `log` is a file descriptor, or None. `bucket_environment` is the orchestrator's, as far
    as buckets are opened with it: no part of the environment of the stage, which has no use for credentials."""

    environment: Mapping[str, str]
    bucket_environment: Mapping[str, str]
    secrets: Mapping[str, str]
    redactor: Redactor | None
    """What takes the secrets out of the log, and then out of the report; None if there are none."""
    work_folder: str
    output_file: str
    log: int | None

    def tidy_up(self) -> None:
        """Remove the work folder with what is in it."""
        remove_folder(self.work_folder)

    def discard(self) -> None:
        """Nothing begins with it: give all of it back."""
        if self.log is not None:
            os.close(self.log)
        self.tidy_up()

    def redacted(self, report: AttemptReport) -> AttemptReport:
        """The report without the secrets, its texts within their limits."""
        if self.redactor is not None:
            report = _without_secrets(report, self.redactor)
        if report.error is None:
            return report
        message, detail = report.error.message, report.error.detail
        error = AttemptError(report.error.kind, _beginning(message), _end(detail))
        return msgspec.structs.replace(report, error=error)


def _without_secrets(report: AttemptReport, redactor: Redactor) -> AttemptReport:
    error = report.error and msgspec.structs.replace(
        report.error, message=redactor.text(report.error.message), detail=redactor.text(report.error.detail)
    )
    findings = tuple(
        msgspec.structs.replace(
            finding, message=redactor.text(finding.message), compared=redactor.json(finding.compared)
        )
        for finding in report.findings
    )
    result, outputs = redactor.json(report.result), redactor.json(report.outputs)
    return msgspec.structs.replace(report, result=result, outputs=outputs, error=error, findings=findings)


def _beginning(text: str) -> str:
    return text if len(text) <= MESSAGE_SIZE_MAX else text[: MESSAGE_SIZE_MAX - 1] + "…"


def _end(text: str) -> str:
    """Of a traceback the end says what went wrong."""
    return text if len(text) <= DETAIL_SIZE_MAX else "…" + text[1 - DETAIL_SIZE_MAX :]


def prepare(request: AttemptRequest, work_folder: str, asked: Mapping[str, str] | None = None) -> Prepared:
    """Make all that the request asks for. `asked`: the values of those secrets that are not found here, of
    `to_be_asked`. Raises Refused."""
    secrets = _secrets(request, asked or {})
    redactor = _redactor(secrets) if secrets else None
    output_file = os.path.join(work_folder, "output.json")
    environment = {
        **{name: os.environ[name] for name in KEPT_NAMES if name in os.environ},
        **_declared(request, secrets),
        **_told(request, output_file),
    }
    try:
        os.mkdir(work_folder, 0o700)
        log = _open_log(request.log) if request.log else None
    except OSError as error:
        raise Refused("executor", f"{error.strerror}: {error.filename}", outcome="not_begun") from error
    return Prepared(
        environment, bucket_environment(os.environ), secrets, redactor, work_folder, output_file, log
    )


def _redactor(secrets: Mapping[str, str]) -> Redactor:
    from clew.trust.redaction import Redactor  # only attempts with secrets need it

    return Redactor(secrets)


def to_be_asked(request: AttemptRequest) -> dict[str, SecretSource]:
    """Those of its secrets of which somebody else has to be asked, by name."""
    asked = {name: source for name, source in request.secrets.items() if source.kind in ASKED_KINDS}
    if not asked:
        return {}
    return {name: asked[name] for name in sorted(_named(request)) if name in asked}


def refused_without(name: str, why: str) -> Refused:
    """The attempt can't begin without the secret of that name."""
    return Refused("secret", f"secret '{name}': {why}")


def _named(request: AttemptRequest) -> set[str]:
    """The secrets that the request refers to; the others are none of its business."""
    named = find_references(dict(request.environment))
    for item in request.items:
        named |= find_references(item.params)
    return named


def _secrets(request: AttemptRequest, asked: Mapping[str, str]) -> dict[str, str]:
    """The values of the secrets that the request refers to, by name."""
    secrets = {}
    for name in sorted(_named(request)):
        if name not in request.secrets:
            raise Refused("secret", f"no secret '{name}' is declared in the settings")
        try:
            secrets[name] = asked[name] if name in asked else resolve(request.secrets[name], name)
        except SecretError as error:
            raise refused_without(name, str(error)) from error
    return secrets


def _declared(request: AttemptRequest, secrets: Mapping[str, str]) -> dict[str, str]:
    """What the stage's `environment` says, filled in."""
    if not request.environment:
        return {}
    from clew.core.program.variables import TemplateError, render  # most stages declare none

    environment = {}
    for name, template in request.environment.items():
        _check_name(name)
        try:
            if find_references(template):
                environment[name] = fill(template, secrets)
            else:
                environment[name] = _as_text(render(template, request.scope))
        except TemplateError as error:
            raise Refused("environment", f"environment variable {name}: {error}") from error
    for name, value in environment.items():
        if "\0" in value:
            raise Refused("environment", f"environment variable {name} holds a zero character")
    return environment


def _check_name(name: str) -> None:
    if not name or "=" in name or "\0" in name:
        raise Refused("environment", f"'{name}' can't be the name of an environment variable")
    if name in RESERVED_NAMES or (name.startswith(RESERVED_PREFIXES) and name not in HARMLESS_NAMES):
        why = "is clew's to set" if name.startswith("CLEW_") else "would choose the code that is loaded"
        raise Refused("environment", f"environment variable {name} {why}: give it another name")


def _as_text(value: Json) -> str:
    if isinstance(value, str):
        return value
    import json  # text is the usual thing

    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _told(request: AttemptRequest, output_file: str) -> dict[str, str]:
    """What clew tells every attempt; the deadline is a moment in UTC, as text."""
    deadline = time.gmtime(time.time() + request.timeout_milliseconds / 1000)
    return {
        "CLEW_RUN": request.run_id,
        "CLEW_STAGE": request.stage,
        "CLEW_ATTEMPT": str(request.attempt),
        "CLEW_PROGRAM": request.program,
        "CLEW_IDEMPOTENCY_KEY": request.idempotency_key,
        "CLEW_OUTPUT": output_file,
        "CLEW_DEADLINE": time.strftime("%Y-%m-%dT%H:%M:%SZ", deadline),
    }


def _open_log(path: str) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        return os.open(path, flags, 0o600)
