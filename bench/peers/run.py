"""clew beside its peers, in turn: `python bench/peers/run.py [--peers dbos,restate] [--workloads W1,W4] [--rounds 5]`.

Makes an environment for each peer in a folder of its own, starts a PostgreSQL server, and in each round runs each
measurement once, in a process of its own. A peer that can't be installed, or fails, is told and left out. Absurd needs
its project's schema, which comes with no package: `--absurd-sql sql/absurd.sql`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import venv
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
INSTALL_SECONDS_MAX = 600
MEASUREMENT_SECONDS_MAX = 600
"""Of one measurement in one round; the longest, W7, takes a slow peer minutes."""
ALL = ("W1", "W2", "W3", "W4", "W5", "W6", "W7")
PSUTIL = "psutil==7.1.3"


@dataclass(frozen=True)
class Contender:
    """One column of the table: a peer on one store."""

    peer: str
    store: str
    packages: tuple[str, ...]
    workloads: tuple[str, ...] = ALL
    environment: dict[str, str] = field(default_factory=dict)
    note: str = ""

    @property
    def name(self) -> str:
        return f"{self.peer} {self.store}"


PSYCOPG = "psycopg[binary]==3.3.9"
DBOS = ("dbos==3.4.0", PSYCOPG, "pysqlite3-binary==0.5.4.post2")
SHORT_HISTORY = {"PEERS_HISTORY": "0,20000"}
"""For those to whom 100,000 steps would take ten minutes a round."""
CONTENDERS = [
    Contender("clew", "sqlite", (), note="this tree"),
    Contender("clew", "postgres", (), ("W1", "W2", "W3", "W4", "W5", "W7"), note="this tree"),
    Contender("luigi", "files", ("luigi==3.8.1",), ALL[:6], note="its files are not flushed to the disk"),
    Contender("dbos", "sqlite", DBOS, environment=SHORT_HISTORY),
    Contender("dbos", "postgres", DBOS, (*ALL[:5], "W7"), environment=SHORT_HISTORY),
    Contender(
        "restate", "server",
        ("restate-sdk[serde]==1.3.0", "granian==2.8.7", "aiohttp==3.14.5"), (*ALL[:5], "W7"),
        note="granian over HTTP/2, one worker: the best tuning that was found",
    ),
    Contender(
        "absurd", "postgres", ("absurd-sdk==0.5.1", PSYCOPG), ALL[:5],
        note="polls each 0.25 s, its default, which is most of a run alone",
    ),
]  # fmt: skip
RESTATE_SERVER = "@restatedev/restate-server@1.7.12"


def as_a_user() -> dict[str, str]:
    """The environment, in which a process may keep compiled modules, rather than compile them at each start."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def bounded(words: list[str], seconds: float, environment: dict[str, str] | None = None) -> str:
    """What the command printed. Its whole process group ends with it. Raises RuntimeError when it fails."""
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True,
            env={**as_a_user(), **(environment or {})},
        )  # fmt: skip
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"{words[1:4]} did not end within {seconds:.0f} s") from error
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        errors.seek(0)
        if process.returncode:
            raise RuntimeError(f"{words[1:4]} failed:\n{errors.read()[-1500:]}")
        return output


def installed(contender: Contender, work: Path) -> dict[str, str]:
    """Makes the peer's environment once; what its measurements are to know."""
    folder = work / "environments" / contender.peer
    python, stamp = folder / "bin" / "python", folder / "installed"
    wanted = " ".join([PSUTIL, *contender.packages, tree_digest() if contender.peer == "clew" else ""])
    if not (stamp.exists() and stamp.read_text() == wanted):
        venv.create(folder, with_pip=True)
        install = [str(python), "-m", "pip", "install", "--quiet"]
        bounded([*install, PSUTIL, *contender.packages], INSTALL_SECONDS_MAX)
        if contender.peer == "clew":
            bounded([*install, "-r", str(ROOT / "requirements" / "run.lock")], INSTALL_SECONDS_MAX)
            bounded([*install, f"{ROOT}[postgres]"], INSTALL_SECONDS_MAX)
            # The version is the same, whatever has changed.
            bounded([*install, "--no-deps", "--force-reinstall", str(ROOT)], INSTALL_SECONDS_MAX)
        stamp.write_text(wanted)
    if contender.peer == "absurd" and not Path(os.environ.get("ABSURD_SQL", "")).is_file():
        raise RuntimeError("--absurd-sql does not name its schema")
    if contender.peer != "restate":
        return {}
    server = work / "npm" / "node_modules" / ".bin" / "restate-server"
    if not server.exists():
        bounded(
            ["npm", "install", "--silent", "--prefix", str(work / "npm"), RESTATE_SERVER], INSTALL_SECONDS_MAX
        )
    return {"RESTATE_SERVER": str(server)}


def tree_digest() -> str:
    """Of clew's own code, as it stands here."""
    digest = hashlib.sha256()
    for path in sorted(
        [*(ROOT / "src").rglob("*.py"), *(ROOT / "src").rglob("*.sql"), ROOT / "pyproject.toml"]
    ):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def measured(contender: Contender, workload: str, work: Path, environment: dict[str, str]) -> dict[str, Any]:
    python = work / "environments" / contender.peer / "bin" / "python"
    words = [str(python), str(HERE / f"{contender.peer}_peer.py"), contender.store, workload]
    output = bounded(words, MEASUREMENT_SECONDS_MAX, {**environment, **contender.environment})
    lines = [line for line in output.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise RuntimeError("it printed no figures")
    return json.loads(lines[-1].removeprefix("RESULT "))


def all_rounds(
    given: argparse.Namespace, chosen: dict[str, dict[str, str]], out: Path
) -> list[dict[str, Any]]:
    """Every row; a contender that fails a workload is left out of it from then on."""
    rows, failed = [], set()
    for workload in given.workloads:
        for number in range(given.rounds):
            for contender in CONTENDERS:
                key = (contender.name, workload)
                if contender.name not in chosen or workload not in contender.workloads or key in failed:
                    continue
                try:
                    figures = measured(contender, workload, given.work, chosen[contender.name])
                except RuntimeError as error:
                    failed.add(key)
                    print(f"{contender.name} {workload}: left out: {error}", file=sys.stderr)
                    continue
                rows.append(
                    {"contender": contender.name, "workload": workload, "round": number, **figures,
                     "load": round(os.getloadavg()[0], 2)}
                )  # fmt: skip
                with open(out, "a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
    return rows


def table(rows: list[dict[str, Any]], ran: list[Contender]) -> str:
    """Medians and spreads, and how many times better clew is on the same kind of store, as Markdown."""
    found: dict[tuple[str, str, str], list[float]] = {}
    for row in rows:
        for name, value in row.items():
            if name not in ("contender", "workload", "round", "load", "in_flight"):
                found.setdefault((row["workload"], name, row["contender"]), []).append(value)
    in_flight = {(row["workload"], row["contender"]): row.get("in_flight", "") for row in rows}
    loads = [row["load"] for row in rows]
    lines = [
        f"{platform.system()} {platform.release()}, {os.cpu_count()} cores ({processor()}), "
        f"Python {platform.python_version()}, {os.environ.get('PEERS_POSTGRES_VERSION', 'no PostgreSQL')}; "
        f"load {min(loads):.1f} to {max(loads):.1f}",
        "",
        *(f"- {each.name}: {', '.join(filter(None, [*each.packages, each.note]))}" for each in ran),
        "",
        "| workload | figure | contender | in flight | median | least to most | n | clew is better by |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (workload, name, contender), values in sorted(found.items()):
        median = statistics.median(values)
        ours = found.get(
            (workload, name, f"clew {'postgres' if contender.endswith('postgres') else 'sqlite'}"), []
        )
        spread = f"{min(values):.4g} to {max(values):.4g}"
        cells = [
            workload, name, contender, str(in_flight[workload, contender]), f"{median:.4g}", spread, str(len(values)),
            "" if contender.startswith("clew") else better(name, ours, median),
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def better(figure: str, ours: list[float], theirs: float) -> str:
    """How many times better: more a second, or less of anything else."""
    mine = statistics.median(ours) if ours else 0.0
    if not (mine and theirs):
        return ""
    return f"{mine / theirs if '_per_s' in figure else theirs / mine:.3g}"


def processor() -> str:
    """Its name, as Linux has it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def main() -> None:
    peers = ("luigi", "dbos", "restate", "absurd")
    reader = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    reader.add_argument("--peers", default=",".join(peers), help="clew is always among them")
    reader.add_argument("--workloads", default=",".join(ALL))
    reader.add_argument("--rounds", type=int, default=5)
    reader.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "clew-peers")
    reader.add_argument("--absurd-sql", type=Path, help="its project's sql/absurd.sql")
    given = reader.parse_args()
    if given.absurd_sql:
        os.environ["ABSURD_SQL"] = str(given.absurd_sql.resolve())
    given.workloads = given.workloads.split(",")
    given.work = given.work.resolve()
    if given.work.is_relative_to(ROOT):
        reader.error("--work must be outside the repository")
    given.work.mkdir(parents=True, exist_ok=True)
    os.environ["PEERS_WORK"] = str(given.work)
    with ExitStack() as stack:
        chosen: dict[str, dict[str, str]] = {}
        for contender in CONTENDERS:
            if contender.peer != "clew" and contender.peer not in given.peers.split(","):
                continue
            try:
                chosen[contender.name] = installed(contender, given.work)
                if contender.store == "postgres" and "PEERS_POSTGRES" not in os.environ:
                    os.environ["PEERS_POSTGRES"] = start_postgres(stack)
            except (RuntimeError, OSError, ImportError, subprocess.SubprocessError) as error:
                chosen.pop(contender.name, None)
                print(f"{contender.name}: left out: {error}", file=sys.stderr)
        rows = all_rounds(given, chosen, given.work / "rows.jsonl")
    if rows:
        ran = {row["contender"] for row in rows}
        told = table(rows, [each for each in CONTENDERS if each.name in ran])
        (given.work / "table.md").write_text(told)
        print(told)


def start_postgres(stack: ExitStack) -> str:
    """The URL of a server that ends with this process; as it comes, nothing tuned."""
    sys.path.insert(0, str(ROOT))
    from tests.databases.postgres import postgres_server

    server = stack.enter_context(postgres_server())
    version = bounded([str(server.programs / "postgres"), "--version"], 20)
    os.environ["PEERS_POSTGRES_VERSION"] = version.strip().removeprefix("postgres (").replace(") ", " ")
    return server.url()


if __name__ == "__main__":
    main()
