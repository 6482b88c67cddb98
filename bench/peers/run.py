"""clew beside its peers, in turn: `python bench/peers/run.py [--peers dbos,restate] [--workloads W1,W4] [--rounds 5]`.

Makes an environment for each peer in a folder of its own, starts a PostgreSQL server, and in each round runs each
measurement once, in a process of its own. A peer that can't be installed, or fails, is told and left out.
"""

from __future__ import annotations

import argparse
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

    @property
    def name(self) -> str:
        return f"{self.peer} {self.store}"


DBOS = ("dbos==3.4.0", "psycopg[binary]==3.3.9", "pysqlite3-binary")
CONTENDERS = [
    Contender("clew", "sqlite", ()),
    Contender("clew", "postgres", ()),
    Contender("luigi", "files", ("luigi==3.8.1",), ALL[:6]),
    Contender("dbos", "sqlite", DBOS),
    Contender("dbos", "postgres", DBOS),
    Contender(
        "restate", "server",
        ("restate-sdk[serde]==1.3.0", "hypercorn==0.18.0", "granian==2.8.7", "aiohttp"), (*ALL[:5], "W7"),
    ),
]  # fmt: skip
RESTATE_SERVER = "@restatedev/restate-server@1.7.12"


def bounded(words: list[str], seconds: float, environment: dict[str, str] | None = None) -> str:
    """What the command printed. Its whole process group ends with it. Raises RuntimeError when it fails."""
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True,
            env={**os.environ, **(environment or {})},
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
    wanted = " ".join([PSUTIL, *contender.packages])
    if not (stamp.exists() and stamp.read_text() == wanted):
        venv.create(folder, with_pip=True)
        packages = [PSUTIL, *contender.packages]
        if contender.peer == "clew":
            packages += ["-r", str(ROOT / "requirements" / "run.lock")]
            # the lock has hashes, which pip then wants of all
            packages.remove(PSUTIL)
        install = [str(python), "-m", "pip", "install", "--quiet"]
        bounded([*install, *packages], INSTALL_SECONDS_MAX)
        if contender.peer == "clew":
            bounded([*install, PSUTIL, f"{ROOT}[postgres]"], INSTALL_SECONDS_MAX)
        stamp.write_text(wanted)
    if contender.peer != "restate":
        return {}
    server = work / "npm" / "node_modules" / ".bin" / "restate-server"
    if not server.exists():
        bounded(
            ["npm", "install", "--silent", "--prefix", str(work / "npm"), RESTATE_SERVER], INSTALL_SECONDS_MAX
        )
    return {"RESTATE_SERVER": str(server)}


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


def table(rows: list[dict[str, Any]]) -> str:
    """Medians, spread and the ratio to clew's on the same kind of store, as Markdown."""
    found: dict[tuple[str, str, str], list[float]] = {}
    for row in rows:
        for name, value in row.items():
            if name not in ("contender", "workload", "round", "load", "in_flight"):
                found.setdefault((row["workload"], name, row["contender"]), []).append(value)
    loads = [row["load"] for row in rows]
    lines = [
        f"{platform.system()} {platform.release()}, {os.cpu_count()} cores, Python {platform.python_version()}; "
        f"load {min(loads):.1f} to {max(loads):.1f}",
        "",
        *(f"- {each.name}: {', '.join(each.packages) or 'this tree'}" for each in CONTENDERS),
        "",
        "| workload | figure | contender | median | least to most | n | by clew's |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (workload, name, contender), values in sorted(found.items()):
        median = statistics.median(values)
        store = "postgres" if contender.endswith("postgres") else "sqlite"
        ours = found.get((workload, name, f"clew {store}"))
        ratio = f"{median / statistics.median(ours):.3g}" if ours and statistics.median(ours) else ""
        spread = f"{min(values):.4g} to {max(values):.4g}"
        cells = [workload, name, contender, f"{median:.4g}", spread, str(len(values)), ratio]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    peers = ("luigi", "dbos", "restate")
    reader = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    reader.add_argument("--peers", default=",".join(peers), help="clew is always among them")
    reader.add_argument("--workloads", default=",".join(ALL))
    reader.add_argument("--rounds", type=int, default=5)
    reader.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "clew-peers")
    given = reader.parse_args()
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
        (given.work / "table.md").write_text(table(rows))
        print(table(rows))


def start_postgres(stack: ExitStack) -> str:
    """The URL of a server that ends with this process; as it comes, nothing tuned."""
    sys.path.insert(0, str(ROOT))
    from tests.databases.postgres import postgres_server

    return stack.enter_context(postgres_server()).url()


if __name__ == "__main__":
    main()
