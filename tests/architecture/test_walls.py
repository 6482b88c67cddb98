"""The walls of docs/architecture.md, read off the source: who imports whom, and what nobody may do.

Two readers. import-linter follows imports through any number of modules, by the contracts in
pyproject.toml. What it cannot say, the syntax trees say here. Each complaint names the place, the
arrow or the ban, and what to do instead; each wall is also tried on a breach, since a wall that
stops nothing looks just like a wall that nobody walked into.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src" / "clew"
PYPROJECT = ROOT / "pyproject.toml"
CALL_IMPORT_LINTER = "from importlinter.cli import lint_imports_command as main; main()"

# What core would look around with, and how it gets the same thing honestly.
AS_DATA = "let the driver gather it, record it in an entry, and read it from there"
AS_PORT = "say what is wanted as a value (an action, a want); whoever has the port carries it out"
LOOKING_AROUND = {
    # the clock
    "time": AS_DATA,
    "sched": AS_DATA,
    # chance
    "random": AS_DATA,
    "secrets": AS_DATA,
    "uuid": AS_DATA,
    # the environment
    "os": AS_DATA,
    "platform": AS_DATA,
    "locale": AS_DATA,
    "getpass": AS_DATA,
    # files
    "glob": AS_PORT,
    "io": AS_PORT,
    "pathlib": "keys of a bucket are strings; " + AS_PORT,
    "shutil": AS_PORT,
    "tempfile": AS_PORT,
    "mmap": AS_PORT,
    # other processes, other machines, other threads
    "asyncio": AS_PORT,
    "concurrent": AS_PORT,
    "ctypes": AS_PORT,
    "http": AS_PORT,
    "multiprocessing": AS_PORT,
    "select": AS_PORT,
    "selectors": AS_PORT,
    "signal": AS_PORT,
    "socket": AS_PORT,
    "ssl": AS_PORT,
    "subprocess": AS_PORT,
    "threading": AS_PORT,
    "urllib3": AS_PORT,
    # databases
    "apsw": AS_PORT,
    "psycopg": AS_PORT,
    "sqlite3": AS_PORT,
    # talk
    "logging": "return what happened; the loop that asked says it",
    "warnings": "return a Problem; the surface that asked shows it",
}

# The honest exceptions: the room that may read the system's table of time zones, and the modules that
# wrap one library each and load it when it is first needed. Elsewhere in core these are as foreign
# as a socket.
EXPRESSIONS = "clew/core/program/expressions.py"
ONLY_IN = {
    "zoneinfo": ("clew/core/timing/", "work local times out in core/timing/ and pass instants on"),
    "re2": ("clew/core/planning/patterns.py", "compile users' regexes there: they cannot hang"),
    "cel": (EXPRESSIONS, "compile and run expressions there: they cannot reach anything"),
    "importlib": (EXPRESSIONS, "ask authoring or a registry for the thing, and take it as a parameter"),
    "sys": (EXPRESSIONS, AS_DATA),
}

# Calls that need no import of their own.
READS_THE_CLOCK = {"now", "utcnow", "today"}
TALKS_TO_THE_WORLD = {"open", "input", "print", "breakpoint"}

SURFACES = {"api", "cli", "ui"}
BEHIND_WIRING = {
    "authoring",
    "buckets",
    "commands",
    "conditions",
    "dependencies",
    "executors",
    "orchestrator",
    "stores",
    "trust",
}

PICKLES = {"cloudpickle", "dill", "marshal", "pickle", "shelve"}
YAML_THAT_BUILDS_OBJECTS = {
    "load",
    "load_all",
    "full_load",
    "full_load_all",
    "unsafe_load",
    "unsafe_load_all",
}
MAY_ASK_FOR_A_SHELL = "clew/commands/shell"

A_PICKLE = "it runs what it reads; write JSON (msgspec, core/sealing/canonical.py)"
A_YAML_LOADER = "it obeys tags; read programs through the loader of authoring/files.py"
A_GUESSABLE_NAME = "another may take the name first; use tempfile.mkstemp or mkdtemp"
TEXT_AS_CODE = "it runs text; expressions are CEL (core/program/expressions.py)"
A_SHELL = "shell=True: give a list of arguments; commands/shell alone may ask for a shell"
BLIND_TRUST = "verify=False trusts whoever answers; let the settings name the CA"

VAGUE_NAMES = {
    "base",
    "common",
    "helper",
    "helpers",
    "manager",
    "managers",
    "misc",
    "models",
    "util",
    "utils",
}

# Put together here, so that this file does not hold what it looks for.
MACHINE_PATHS = re.compile(rb"(?<![\w.:/-])/(?:" + b"|".join([b"work", b"root", b"farm"]) + rb")/")
REGISTRY_HOSTS = re.compile(
    rb"|".join(
        name + rb"\." + end
        for name, end in [(b"pypi", b"org"), (b"pythonhosted", b"org"), (b"npmjs", b"org")]
    )
)


def sources() -> list[tuple[str, str]]:
    """Every Python file under src, as its path below src and its text."""
    return [(path.relative_to(SRC.parent).as_posix(), path.read_text()) for path in sorted(SRC.rglob("*.py"))]


def imports(path: str, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every module that a file imports, by its full name, wherever in the file the import stands."""
    package = PurePosixPath(path).parent.parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            near = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*near, *([node.module] if node.module else [])])
            # `from clew import stores` imports clew.stores as much as `import clew.stores` does.
            for alias in node.names:
                yield node.lineno, f"{module}.{alias.name}"


def breaches_of_purity(path: str, text: str) -> Iterator[str]:
    """What a file of core imports or calls, and may not."""
    if not path.startswith("clew/core/"):
        return
    tree = ast.parse(text)
    for line, name in imports(path, tree):
        top = name.split(".")[0]
        place, instead = ONLY_IN.get(top, ("", ""))
        if top == "clew" and not name.startswith("clew.core."):
            yield f"{path}:{line}: core -> {name}: core imports no other part of clew; {AS_PORT}"
        elif name.startswith("urllib.") and not name.startswith("urllib.parse"):
            yield f"{path}:{line}: core -> {name}: {AS_PORT}"
        elif top in LOOKING_AROUND:
            yield f"{path}:{line}: core -> {top}: {LOOKING_AROUND[top]}"
        elif place and not path.startswith(place):
            yield f"{path}:{line}: core -> {top}, outside {place}: {instead}"
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in TALKS_TO_THE_WORLD:
                yield f"{path}:{node.lineno}: core calls {name}(): {AS_PORT}"
            case ast.Call(func=ast.Attribute(attr=name)) if name in READS_THE_CLOCK:
                yield f"{path}:{node.lineno}: core calls .{name}(), which reads the clock: {AS_DATA}"


def breaches_at_the_edge(path: str, text: str) -> Iterator[str]:
    """Arrows that only a direct import breaks: through wiring, a surface reaches everything."""
    owner = PurePosixPath(path).parts[1].removesuffix(".py")
    for line, name in imports(path, ast.parse(text)):
        top, _, inside = name.partition(".")
        if top != "clew":
            continue
        room = inside.split(".")[0]
        if owner in SURFACES and room in BEHIND_WIRING:
            yield (
                f"{path}:{line}: {owner} -> {room}: a surface translates words and prints; "
                "ask wiring for a Clew and call its operations, adding there what is missing"
            )
        if owner == "client" and room != "client" and not inside.startswith("core.program.model"):
            yield f"{path}:{line}: client -> {name}: the client knows core.program.model and HTTP"
        if room == "attempt" and owner != "attempt":
            yield f"{path}:{line}: {owner} -> attempt: nobody imports it; start `python -m clew.attempt`"


def breaches_of_a_ban(path: str, text: str) -> Iterator[str]:
    """What no file of clew does, whichever room it is in."""
    tree = ast.parse(text)
    for line, name in imports(path, tree):
        top, _, inside = name.partition(".")
        if top in PICKLES:
            yield f"{path}:{line}: {top}: {A_PICKLE}"
        if top == "yaml" and inside in YAML_THAT_BUILDS_OBJECTS:
            yield f"{path}:{line}: {name}: {A_YAML_LOADER}"
        if name == "tempfile.mktemp":
            yield f"{path}:{line}: {name}: {A_GUESSABLE_NAME}"
    may_ask_for_a_shell = path.startswith(MAY_ASK_FOR_A_SHELL)
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="eval" | "exec" as name)):
                yield f"{path}:{node.lineno}: {name}(): {TEXT_AS_CODE}"
            case ast.Attribute(value=ast.Name(id="yaml"), attr=name) if name in YAML_THAT_BUILDS_OBJECTS:
                yield f"{path}:{node.lineno}: yaml.{name}: {A_YAML_LOADER}"
            case ast.Attribute(value=ast.Name(id="tempfile"), attr="mktemp"):
                yield f"{path}:{node.lineno}: tempfile.mktemp: {A_GUESSABLE_NAME}"
            case ast.keyword(arg="shell", value=ast.Constant(value=True)) if not may_ask_for_a_shell:
                yield f"{path}:{node.lineno}: {A_SHELL}"
            case ast.keyword(arg="verify", value=ast.Constant(value=False)):
                yield f"{path}:{node.lineno}: {BLIND_TRUST}"


def tracked_files() -> list[Path]:
    """What git keeps of this checkout."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, so nothing says which files belong to clew")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    return [path for name in listed.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """import-linter's verdict on the package clew that is found from a folder."""
    # It puts the folder it is started in before what is installed.
    return subprocess.run(
        [sys.executable, "-c", CALL_IMPORT_LINTER, "--no-logo", "--no-cache", "--config", str(PYPROJECT)],
        cwd=folder,
        capture_output=True,
        text=True,
    )


def lay_out_an_empty_clew(folder: Path) -> None:
    rooms = ["core", "stores", "buckets", "executors", "commands", "conditions", "authoring", "trust"]
    modules = ["__init__.py", "ports.py", "operations.py", "settings.py", "wiring.py", "attempt.py"]
    modules += [f"{room}/__init__.py" for room in [*rooms, "orchestrator", "cli", "core/program"]]
    modules += ["core/program/model.py", "stores/store.py", "buckets/places.py", "executors/local.py"]
    modules += ["conditions/files.py", "trust/tokens.py", "orchestrator/driver.py", "cli/main.py"]
    for module in modules:
        file = folder / "clew" / module
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")


def report(breaches: Iterator[str]) -> str:
    return "\n".join(breaches)


def test_every_import_follows_the_arrows() -> None:
    """No module imports, by however many steps, what the contracts in pyproject.toml forbid."""
    verdict = lint_imports(ROOT / "src")
    assert verdict.returncode == 0, verdict.stdout + verdict.stderr


@pytest.mark.parametrize(
    ("importer", "line"),
    [
        ("core/program/model.py", "import clew.ports"),
        ("core/program/model.py", "import time"),
        ("ports.py", "import clew.stores"),
        ("stores/store.py", "import clew.buckets"),
        ("conditions/files.py", "def later():\n    from clew.buckets import places"),
        ("orchestrator/driver.py", "import clew.executors.local"),
        ("trust/tokens.py", "from .. import operations"),
        ("operations.py", "import clew.stores.store"),
        ("operations.py", "import clew.wiring"),
        ("settings.py", "import clew.trust"),
        ("wiring.py", "import clew.cli.main"),
        ("attempt.py", "import clew.stores.store"),
        ("wiring.py", "import clew.attempt"),
        ("newroom.py", ""),
    ],
)
def test_a_wrong_arrow_is_found(tmp_path: Path, importer: str, line: str) -> None:
    """One import against the arrows, in a clew that is empty otherwise, breaks the contracts."""
    lay_out_an_empty_clew(tmp_path)
    (tmp_path / "clew" / importer).write_text(line)
    verdict = lint_imports(tmp_path)
    assert verdict.returncode == 1, verdict.stdout + verdict.stderr
    assert "BROKEN" in verdict.stdout


def test_an_empty_house_stands(tmp_path: Path) -> None:
    """A clew whose modules import nothing keeps the contracts, so that what breaks them is the import."""
    lay_out_an_empty_clew(tmp_path)
    verdict = lint_imports(tmp_path)
    assert verdict.returncode == 0, verdict.stdout + verdict.stderr


def test_core_cannot_look_around() -> None:
    """Core imports and calls nothing that knows the time, draws lots, or reaches the outside."""
    wrong = report(breach for path, text in sources() for breach in breaches_of_purity(path, text))
    assert not wrong, f"core is pure, so that a replay can be believed:\n{wrong}"


def test_surfaces_ask_wiring() -> None:
    """Surfaces reach the rooms through wiring alone, and nobody imports the attempt's process."""
    wrong = report(breach for path, text in sources() for breach in breaches_at_the_edge(path, text))
    assert not wrong, f"an arrow of docs/architecture.md is crossed:\n{wrong}"


def test_nothing_banned_is_used() -> None:
    """No pickles, no YAML tags, no eval, no shell unasked, no blind trust, no guessable file names."""
    wrong = report(breach for path, text in sources() for breach in breaches_of_a_ban(path, text))
    assert not wrong, f"banned all over clew:\n{wrong}"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("clew/core/running/decide.py", "import time"),
        ("clew/core/running/decide.py", "def f():\n    from os import environ"),
        ("clew/core/running/decide.py", "from zoneinfo import ZoneInfo"),
        ("clew/core/running/decide.py", "import urllib.request"),
        ("clew/core/running/decide.py", "from clew import ports"),
        ("clew/core/running/decide.py", "from ... import stores"),
        ("clew/core/program/parse.py", "import re2"),
        ("clew/core/program/parse.py", "import cel"),
        ("clew/core/planning/search.py", "from importlib import import_module"),
        ("clew/core/timing/windows.py", "moment = datetime.now(UTC)"),
        ("clew/core/program/schema.py", "open('schema.json')"),
    ],
)
def test_a_look_around_is_found(path: str, text: str) -> None:
    """One line that looks around, anywhere in a file of core, is a complaint that names the place."""
    (complaint,) = breaches_of_purity(path, text)
    assert complaint.startswith(f"{path}:")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("clew/core/timing/cadence.py", "from zoneinfo import ZoneInfo"),
        ("clew/core/program/expressions.py", "import cel"),
        ("clew/core/planning/patterns.py", "import re2"),
        (
            "clew/core/running/state.py",
            "from ..program import model\nfrom clew.core.program.model import Stage",
        ),
        ("clew/core/running/tracker.py", "from urllib.parse import quote"),
        ("clew/orchestrator/scheduler.py", "import time\nfrom datetime import datetime\ndatetime.now()"),
    ],
)
def test_what_is_allowed_stays_allowed(path: str, text: str) -> None:
    """The exceptions of core are where they are said to be, and the rest of clew may look around."""
    assert not report(breaches_of_purity(path, text))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("clew/cli/runs.py", "from clew.stores.store import Store"),
        ("clew/cli/runs.py", "from ..executors import local"),
        ("clew/executors/local.py", "import clew.attempt"),
        ("clew/client/sync.py", "import clew.ports"),
        ("clew/stores/store.py", "import pickle"),
        ("clew/authoring/files.py", "yaml.load(text, Loader=yaml.CSafeLoader)"),
        ("clew/authoring/files.py", "from yaml import full_load"),
        ("clew/conditions/expression.py", "eval(text)"),
        ("clew/commands/python.py", "exec(text)"),
        ("clew/executors/local.py", "subprocess.run(words, shell=True)"),
        ("clew/commands/http.py", "session(verify=False)"),
        ("clew/commands/files.py", "tempfile.mktemp()"),
    ],
)
def test_a_banned_line_is_found(path: str, text: str) -> None:
    """One banned line, in whichever room, is a complaint that names the place."""
    complaints = [*breaches_of_a_ban(path, text), *breaches_at_the_edge(path, text)]
    assert complaints
    assert all(complaint.startswith(f"{path}:") for complaint in complaints)


def test_only_the_shell_command_may_ask_for_a_shell() -> None:
    """The one place where a shell may be asked for is the command of that name."""
    assert not report(breaches_of_a_ban("clew/commands/shell.py", "run(line, shell=True)"))


def test_modules_are_named_for_what_they_do() -> None:
    """No module or folder of clew has a name that would fit any content."""
    vague = [path for path, _ in sources() if VAGUE_NAMES & set(re.split(r"[/_.]", path))]
    assert not vague, f"say what it does, as in plan.py or search.py: {', '.join(vague)}"


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    """No tracked file holds a path of somebody's machine or the host of a package registry."""
    wrong = []
    for path in tracked_files():
        for number, line in enumerate(path.read_bytes().splitlines(), start=1):
            if found := MACHINE_PATHS.search(line) or REGISTRY_HOSTS.search(line):
                wrong.append(f"{path.relative_to(ROOT)}:{number}: {found[0].decode()}")
    assert not wrong, "what one machine knows, another doesn't:\n" + "\n".join(wrong)


def test_locks_say_what_and_not_from_where() -> None:
    """A lock pins names, versions and hashes; where they come from is the installer's affair."""
    for lock in sorted((ROOT / "requirements").glob("*.lock")):
        lines = lock.read_text().splitlines()
        pins = [line for line in lines if line and not line.startswith((" ", "#"))]
        assert all(re.match(r"[a-z0-9-]+==\S+ ", pin) for pin in pins), f"{lock.name}: {pins}"
        assert not [line for line in lines if "://" in line or "@" in line], lock.name


def test_what_runs_is_part_of_what_is_tested() -> None:
    """Every pin of run.lock is a pin of test.lock, so that one environment serves both."""
    pins = {
        lock: set(re.findall(r"^[a-z0-9-]+==\S+", (ROOT / "requirements" / lock).read_text(), re.MULTILINE))
        for lock in ("run.lock", "test.lock")
    }
    assert pins["run.lock"]
    assert pins["run.lock"] <= pins["test.lock"]
