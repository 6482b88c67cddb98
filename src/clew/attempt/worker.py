"""The process that runs the user's code: cut off from what clew holds, then handed over."""

from __future__ import annotations

import atexit
import gc
import os
import resource
import signal
import sys
import threading
import time
from typing import NoReturn, TextIO

import msgspec

from clew.attempt.ending import Ending
from clew.attempt.folders import remove_folder
from clew.attempt.learning import newly_imported
from clew.attempt.preparation import Prepared
from clew.attempt.processes import HANDLED, adopt_orphans, end_with_parent, refuse_new_privileges
from clew.attempt.work import carry_out
from clew.ports import AttemptError, AttemptReport, AttemptRequest

_RESULT = 3
"""The one descriptor beside standard input, output and error: where the result goes."""
_DESCRIPTORS_MAX = 2**31 - 1


class WorkerResult(msgspec.Struct, frozen=True):
    """What a worker tells its supervisor: its report, and what it had to import for it."""

    report: AttemptReport
    modules: tuple[str, ...] = ()


def become_worker(
    request: AttemptRequest, prepared: Prepared, supervisor: int, log_writer: int, result_writer: int
) -> NoReturn:
    """Turn this fork of the supervisor into the worker, do the work, and end."""
    status = 1
    try:
        be_a_process_of_its_own(supervisor)
        refuse_new_privileges()
        _keep_only(log_writer, result_writer)
        # Code with a source of its own is found there, and not where the program lies.
        _enter(prepared, "" if request.source is not None else request.folder)
        known = frozenset(sys.modules)
        report = carry_out(request, prepared, Ending())
        _wind_up(prepared.work_folder)
        write_all(_RESULT, _result_of(report, newly_imported(known), request.output_size_max))
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        # Of our own making, since the user's errors are in the report. It belongs into the log.
        sys.excepthook(*sys.exc_info())
    finally:
        _flush()
        os._exit(status)


def be_a_process_of_its_own(supervisor: int) -> None:
    """Forget the supervisor's handlers, end when it ends, and leave no core behind, in which secrets would be."""
    signal.set_wakeup_fd(-1)
    for number in HANDLED:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
    os.setsid()
    end_with_parent(supervisor)
    adopt_orphans()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o077)


def _keep_only(log_writer: int, result_writer: int) -> None:
    os.dup2(log_writer, 1)
    os.dup2(log_writer, 2)
    os.dup2(result_writer, _RESULT, inheritable=False)
    close_from(_RESULT + 1)
    # By lines, so that the two stay in order in the log; and no text is a reason to fail.
    sys.stdout, sys.stderr = _text_stream(1), _text_stream(2)


def close_from(descriptor: int) -> None:
    """Close it and all above it."""
    os.closerange(descriptor, _DESCRIPTORS_MAX)


def _text_stream(descriptor: int) -> TextIO:
    return open(descriptor, "w", 1, "utf-8", "backslashreplace", closefd=False)


def _enter(prepared: Prepared, folder: str) -> None:
    os.environ.clear()
    os.environ.update(prepared.environment)
    time.tzset()  # the stage may have a TZ of its own
    if folder:
        sys.path.insert(0, os.path.abspath(folder))
    os.chdir(prepared.work_folder)
    gc.enable()


def _result_of(report: AttemptReport, modules: tuple[str, ...], outputs_size_max: int) -> bytes:
    size = len(msgspec.json.encode(report.outputs))
    if size > outputs_size_max:
        message = f"its outputs have {size} bytes; they may have {outputs_size_max}"
        report = AttemptReport(outcome="failed", error=AttemptError("output", message))
    return msgspec.json.encode(WorkerResult(report, modules))


def _wind_up(work_folder: str) -> None:
    """What the interpreter does at its end, while the deadline holds: threads end, exit handlers run."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    _flush()
    # Here rather than in the supervisor, which would keep the others waiting meanwhile.
    remove_folder(work_folder)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue  # the code has closed it


def write_all(descriptor: int, document: bytes) -> None:
    """Write it, however long that takes."""
    view = memoryview(document)
    while view:
        view = view[os.write(descriptor, view) :]
