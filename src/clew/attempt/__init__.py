"""`python -m clew.attempt`: the processes in which attempts run. Nobody imports it.

Three kinds of process, each the parent of the next:

- the *guardian* (`guardian.py`), which does nothing until the supervisor is gone, and then kills what is
  left;
- the *supervisor* (`supervisor.py`), one an orchestrator, which forks a worker for each attempt, keeps its
  log, holds its deadline, and reports how it ended (`watching.py`);
- the *worker* (`worker.py`), which alone runs the user's code.

All of them end when the orchestrator does, and none of them keeps a record: what an attempt has to know is in
its request, what came of it in its report.

No orphan escapes. Each of the three is a *subreaper*: what loses its parent below it becomes its child,
wherever it has moved to. So what the supervisor finds among its children beside its workers, a *stray*, is
left over from a worker that has ended, and is ended too; an attempt is over when its worker and its strays
are.
"""
