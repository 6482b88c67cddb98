"""What a SQLite store rests on, as `clew doctor` and every orchestrator look at it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import apsw
import pytest

from clew.ports import Diagnosis, Holder
from clew.stores.file_systems import LOCAL, MEMORY, NETWORK, FileSystem, file_system_of, find_mount
from clew.stores.sqlite import SqliteStore
from clew.stores.sqlite_check import (
    ROOM_SIZE_MIN,
    diagnose_clock,
    diagnose_file_system,
    diagnose_library,
    diagnose_place,
    diagnose_settings,
)
from clew.wiring.taking import VERSION, this_process

NOW = 1_790_000_000_000
MINUTE = 60_000


def holder(**changed: object) -> Holder:
    return Holder("here", 17, "boot-1", NOW - 60 * MINUTE, 30 * MINUTE, "0.1.0")._replace(**changed)


def verdicts(diagnoses: list[Diagnosis]) -> dict[str, str]:
    return {each.name: each.verdict for each in diagnoses}


# ---- the library -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("release", "verdict"),
    [
        ("3.6.23", "sound"), ("3.7.0", "unsafe"), ("3.40.1", "unsafe"), ("3.44.5", "unsafe"), ("3.44.6", "sound"),
        ("3.44.7", "sound"), ("3.45.0", "unsafe"), ("3.49.2", "unsafe"), ("3.50.6", "unsafe"), ("3.50.7", "sound"),
        ("3.51.0", "unsafe"), ("3.51.2", "unsafe"), ("3.51.3", "sound"), ("3.52.0", "sound"), ("3.54.1", "sound"),
        ("4.0.0", "sound"),
    ],
)  # fmt: skip
def test_a_library_with_the_wal_reset_fault_is_unsafe(release: str, verdict: str) -> None:
    """3.7.0 to 3.51.2, but for the lines in which it was mended sooner."""
    found = diagnose_library(release)
    assert (found.name, found.verdict) == ("library", verdict)
    assert bool(found.remedy) == (verdict == "unsafe")


def test_the_library_that_is_installed_is_sound() -> None:
    """The one that apsw carries, of which the lock names the version."""
    assert diagnose_library(apsw.sqlite_lib_version()).verdict == "sound"


# ---- the file system ---------------------------------------------------------------------------------------

MOUNTINFO = """\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
30 27 0:27 / /mnt/shared\\040data rw,relatime shared:5 master:2 - nfs4 server:/data rw,vers=4.2
31 27 0:28 / /mnt/there rw,nosuid - fuse.sshfs me@there: rw
32 27 0:29 / /var/build rw - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w,volatile
33 27 254:0 /data /data rw - ext4 /dev/vda rw,nobarrier
34 27 0:29 / /var/build rw - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w,uuid=on,fsync=volatile
"""


def test_a_mount_is_found_by_its_id_and_not_by_its_path() -> None:
    """With its kind, its place and its options, however many optional fields stand between them."""
    found = find_mount(MOUNTINFO, 30)
    assert found == FileSystem("nfs4", "/mnt/shared data", frozenset({"rw", "relatime", "vers=4.2"}), 30)
    assert find_mount(MOUNTINFO, 99) is None


@pytest.mark.parametrize(
    ("mount_id", "verdict"),
    [(27, "sound"), (30, "unsafe"), (31, "unsafe"), (32, "unsafe"), (33, "unsafe"), (34, "unsafe")],
)
def test_what_is_mounted_decides(mount_id: int, verdict: str) -> None:
    """Another machine's, and what does not flush, are unsafe; the remedy names what to do."""
    found = diagnose_file_system(find_mount(MOUNTINFO, mount_id))
    assert found.verdict == verdict
    assert bool(found.remedy) == (verdict == "unsafe")


@pytest.mark.parametrize(
    ("kinds", "verdict"),
    [(NETWORK, "unsafe"), (MEMORY, "doubtful"), (LOCAL, "sound"), ({"unheard-of", "fuse.mine"}, "doubtful")],
)
def test_each_kind_of_file_system_has_one_verdict(kinds: frozenset[str], verdict: str) -> None:
    """And one of which nobody knows anything, or tells anything, is doubtful."""
    for kind in kinds:
        assert diagnose_file_system(FileSystem(kind, "/", frozenset(), 1)).verdict == verdict, kind
    assert diagnose_file_system(None).verdict == "doubtful"
    assert not NETWORK & MEMORY and not NETWORK & LOCAL and not MEMORY & LOCAL


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of mounts")
def test_the_file_system_of_what_is_there_and_of_what_is_not(tmp_path: Path) -> None:
    """The kernel's own word, which `stat` has by another way; of what is not there, of the folder it would be in."""
    told = subprocess.run(
        ["stat", "-f", "-c", "%T", tmp_path], capture_output=True, text=True, check=True
    ).stdout.strip()
    found = file_system_of(str(tmp_path))
    assert found is not None
    assert found == file_system_of(str(tmp_path / "not" / "there" / "yet.db"))
    assert {"ext2/ext3": "ext4"}.get(told, told).startswith(found.kind.removesuffix("fs"))


MOUNTED_BY_ITSELF = """
set -e
mkdir "$1/inner" && touch "$1/inner/clew.db" "$1/clew.db"
mount --bind "$1/clew.db" "$1/inner/clew.db"
mkdir "$1/memory" && mount -t tmpfs tmpfs "$1/memory"
mkdir "$1/over" "$1/lower" && mount -t tmpfs tmpfs "$1/lower"
mkdir "$1/lower/l" "$1/lower/u" "$1/lower/w"
mount -t overlay -o "lowerdir=$1/lower/l,upperdir=$1/lower/u,workdir=$1/lower/w,volatile" overlay "$1/over"
shift
exec "$@"
"""
"""Mounts of a namespace of its own: nothing of them is seen outside, or outlives it."""


def in_namespace(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A process that sees such mounts below the folder. Skips loudly where this machine lets nobody mount."""
    user = ["--map-root-user"] if os.getuid() else []
    inside = ["unshare", "--mount", *user, "sh", "-c", MOUNTED_BY_ITSELF, "sh", str(folder)]
    tried = subprocess.run([*inside, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"NOT TESTED: real mounts can't be made here: {tried.stderr.strip()}")
    for name in ("inner", "memory", "over", "lower"):
        subprocess.run(["rm", "-rf", str(folder / name)], check=True)
    return subprocess.run([*inside, *words], capture_output=True, text=True, check=False, timeout=50)


SAY = """
import sys
from clew.stores.sqlite_check import diagnose_place
for path in sys.argv[1:]:
    print(*(f"{each.name}={each.verdict}" for each in diagnose_place(path)), sep=",")
"""


def test_real_mounts_are_told_apart(tmp_path: Path) -> None:
    """A file that is mounted without its folder, a file system in memory, and one that does not flush."""
    paths = [str(tmp_path / name / "clew.db") for name in ("inner", "memory", "over")]
    done = in_namespace(tmp_path, sys.executable, "-c", SAY, *paths)
    assert done.returncode == 0, done.stderr
    inner, memory, over = (
        dict(one.split("=") for one in line.split(",")) for line in done.stdout.splitlines()
    )
    assert inner["file"] == "unsafe"
    assert (memory["file system"], memory["file"]) == ("doubtful", "sound")
    assert over["file system"] == "unsafe"


def test_a_store_that_is_unsafe_is_driven_only_if_somebody_says_so(tmp_path: Path) -> None:
    """It is refused before anything is made of it; with the flag it is driven, and the journal of the run says so."""
    (tmp_path / "quick.yaml").write_text(
        "name: quick\nstages:\n  - {name: Do, execute: {command: shell, params: ['true']}, rollback: none}\n"
    )
    (tmp_path / "stuck.yaml").write_text(
        "name: stuck\nstages:\n  - name: Do\n    execute: {command: shell, params: ['false']}\n"
        "    rollback: {command: shell, params: ['false']}\n"
    )
    script = """
    cd "$0"; store="sqlite:///over/clew.db"
    "$1" -m clew run quick.yaml --store $store 2>&1 && exit 9
    echo; echo In it: $(ls over); echo ---
    "$1" -m clew run quick.yaml --store $store --unsafe-store --format json || exit 8
    echo ---
    run=$("$1" -m clew runs --store $store --format json | sed -n 's/.*"run_id": "\\(.*\\)".*/\\1/p')
    "$1" -m clew show --store $store $run --journal
    echo ---
    "$1" -m clew run stuck.yaml --store $store --unsafe-store -q >/dev/null
    run=$("$1" -m clew runs --store $store --program stuck --format json | sed -n 's/.*"run_id": "\\(.*\\)".*/\\1/p')
    "$1" -m clew stop --store $store $run 2>&1; echo "stop: $?"
    "$1" -m clew resume --store $store --unsafe-store 2>&1
    "$1" -m clew show --store $store $run --journal
    echo ---
    "$1" -m clew verify --all --store $store
    "$1" -c 'import apsw; print(apsw.Connection("over/clew.db").execute("SELECT unsafe FROM orchestrators").get)'
    """
    done = in_namespace(tmp_path, "sh", "-c", script, str(tmp_path), sys.executable)
    assert done.returncode == 0, done.stdout + done.stderr
    refused, ran, journal, told, after = done.stdout.split("---\n")
    assert "volatile" in refused and "--unsafe-store" in refused and "nothing was done" in refused
    assert refused.endswith("\nIn it: clew.db.lock\n"), "the lock, and no store"
    assert '"completed"' in ran
    assert "in a store whose file system is unsafe" in journal
    assert "is not finished" in told and "what was said stands" in told and "stop: 5" in told
    assert (
        "taken up again, in a store whose file system is unsafe" in told and "end it and undo nothing" in told
    )
    assert "sound" in after and after.count('{"file system":"overlay, mounted at') == 3


# ---- the file ----------------------------------------------------------------------------------------------


def test_a_file_with_two_names_is_doubtful(tmp_path: Path) -> None:
    """Each name has its own log."""
    path = str(tmp_path / "clew.db")
    assert verdicts(diagnose_place(path))["file"] == "sound"
    SqliteStore(path).close()
    assert verdicts(diagnose_place(path))["file"] == "sound"
    os.link(path, tmp_path / "copy.db")
    found = {each.name: each for each in diagnose_place(path)}
    assert found["file"].verdict == "doubtful" and "2 names" in found["file"].found


def test_little_room_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before there is none."""
    path = str(tmp_path / "none" / "clew.db")
    facts = os.statvfs(tmp_path)
    for free, verdict in ((ROOM_SIZE_MIN - 1, "doubtful"), (ROOM_SIZE_MIN, "sound")):
        given = os.statvfs_result((*facts[:1], 1, facts[2], facts[3], free, *facts[5:]))
        monkeypatch.setattr(os, "statvfs", lambda path, given=given: given)
        assert verdicts(diagnose_place(path))["room"] == verdict


# ---- the settings in force ---------------------------------------------------------------------------------


def test_what_is_in_force_is_read_back(tmp_path: Path) -> None:
    """From the connection that writes, and from one that only reads."""
    path = str(tmp_path / "clew.db")
    writer = SqliteStore(path)
    reader = SqliteStore(path, read_only=True)
    for store in (writer, reader):
        found = store.diagnose(this_process())
        assert set(verdicts(found).values()) == {"sound"}
        assert list(verdicts(found)) == ["durability", "isolation", "guards", "clock"]
        assert found[0].found == "journal_mode=wal, synchronous=FULL"
        store.close()


@pytest.mark.parametrize(
    ("changed", "durability", "isolation", "guards"),
    [
        ({}, "sound", "sound", "sound"),
        ({"synchronous": 3}, "sound", "sound", "sound"),
        ({"synchronous": 1}, "unsafe", "sound", "sound"),
        ({"synchronous": 0, "journal_mode": "delete"}, "unsafe", "sound", "sound"),
        ({"journal_mode": "delete"}, "doubtful", "sound", "sound"),
        ({"read_uncommitted": 1}, "sound", "unsafe", "sound"),
        ({"mmap_size": 4096}, "sound", "sound", "doubtful"),
        ({"mmap_size": None}, "sound", "sound", "sound"),
        ({"trusted_schema": 1}, "sound", "sound", "doubtful"),
    ],
)
def test_a_library_that_does_not_obey_is_told(
    changed: dict[str, object], durability: str, isolation: str, guards: str
) -> None:
    """Whatever it was told: what it says is in force counts."""
    given = {
        "journal_mode": "wal",
        "synchronous": 2,
        "trusted_schema": 0,
        "cell_size_check": 1,
        "mmap_size": 0,
    }
    found = verdicts(diagnose_settings((given | changed).get))
    assert found == {"durability": durability, "isolation": isolation, "guards": guards}


def test_damaged_pages_are_found(tmp_path: Path) -> None:
    """By who reads them all."""
    path = tmp_path / "clew.db"
    store = SqliteStore(str(path))
    assert store.damages() == []
    store.register_program("v" * 64, "trip", '{"name":"' + "x" * 100_000 + '"}', [], 5)
    store.close()
    content = bytearray(path.read_bytes())
    content[-8_192:] = b"\xff" * 8_192  # the end of that text
    path.write_bytes(content)
    damaged = SqliteStore(str(path), read_only=True)
    assert damaged.damages()
    damaged.close()


# ---- the clock ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "uptime", "boot_id", "verdict", "words"),
    [
        (NOW, 90 * MINUTE, "boot-1", "sound", ""),
        (1_000, 1_000, "boot-2", "unsafe", "never set"),
        (NOW - 10 * MINUTE, 80 * MINUTE, "boot-1", "doubtful", "before the newest moment on record"),
        (NOW - 1 * MINUTE, 89 * MINUTE, "boot-1", "sound", ""),
        (NOW + 60 * MINUTE, 90 * MINUTE, "boot-1", "doubtful", "set forward by 3600 seconds"),
        (NOW, 150 * MINUTE, "boot-1", "doubtful", "set back by 3600 seconds"),
        (NOW + 60 * MINUTE, 1, "boot-2", "sound", ""),
        (NOW + 60 * MINUTE, 1, "", "sound", ""),
    ],
)
def test_the_clock_is_held_against_the_record_and_against_the_other_clock(
    now: int, uptime: int, boot_id: str, verdict: str, words: str
) -> None:
    """Somebody began to drive an hour ago; the newest moment on record is now."""
    found = diagnose_clock(now, uptime, boot_id, newest=NOW, last=holder())
    assert found.verdict == verdict, found
    assert words in found.found


def test_a_store_that_has_nothing_on_record_says_nothing_of_the_clock() -> None:
    """But that it was set at all; and who drove last is on record too."""
    assert diagnose_clock(NOW, 1, "x", newest=0, last=None).verdict == "sound"
    assert diagnose_clock(1, 1, "x", newest=0, last=None).verdict == "unsafe"
    assert diagnose_clock(NOW - 90 * MINUTE, 1, "x", newest=0, last=holder()).verdict == "doubtful"


def test_this_process_knows_itself() -> None:
    """Its version is the package's."""
    me = this_process()
    assert version("clew") == VERSION == me.clew
    assert me.pid == os.getpid() and me.uptime > 0
    if sys.platform == "linux":
        assert re.fullmatch(r"[0-9a-f-]{36}", me.boot_id)
