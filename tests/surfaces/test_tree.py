"""Of all runs together: none is dropped, added or written anew unnoticed, as far as a checkpoint goes; what can't be
found is told here, too.
"""

from __future__ import annotations

import json
import re
import shutil
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import psycopg
import pytest
from tests.databases.postgres import PostgresServer
from tests.surfaces.calling import Done, Person

from clew.core.sealing.leaves import Leaf
from clew.core.sealing.merkle import Frontier, leaf_hash

PROGRAM = """
name: errand
variables: {fails: false}
stages:
  - {name: go, execute: {command: shell, params: [sh, -c, "{fails} && exit 1; exit 0"]}, rollback: none}
"""


class Owner(Person):
    """Somebody with a store of three runs, and whoever gets at its database."""

    @property
    def path(self) -> str:
        return str(self.folder / ".clew" / "clew.db")

    def sql(self, statement: str, *bound: Any) -> list[Any]:
        connection = apsw.Connection(self.path)
        try:
            return list(connection.execute(statement, bound))
        finally:
            connection.close()

    def verify(self, *words: str, code: int) -> Any:
        """What `clew verify` finds of the tree, and of the first run that is not sound."""
        told = self.clew("verify", *words, "--format", "json", code=code).document
        bad = [run["problem"]["what"] for run in told["runs"] if run["verdict"] != "sound"]
        return told["tree"], bad[0] if bad else ""

    def keep(self, name: str = "kept") -> str:
        """A checkpoint, kept elsewhere."""
        (self.folder / name).write_text(self.clew("checkpoint").out)
        return name

    def drop(self, run_id: str) -> None:
        for table in ("journal", "payloads", "stages", "leaves", "runs"):
            self.sql(f"DELETE FROM {table} WHERE run_id = ?", run_id)

    def rebuild(self, *, signed: bool = False) -> None:
        """Make a tree of the leaves that are there, as clew would have. `signed`: say that nothing was signed yet."""
        rows = self.sql("SELECT entry_count, head, kind, run_id FROM leaves ORDER BY leaf_index")
        frontier = Frontier()
        for at, row in enumerate(rows):
            frontier.append(leaf_hash(Leaf(*row).content()))
            self.sql("UPDATE leaves SET leaf_index = ? WHERE run_id = ? AND kind = ?", at, row[3], row[2])
        self.sql("UPDATE tree SET size = ?, peaks = ?", frontier.size, b"".join(frontier.peaks))
        if signed:
            self.sql("UPDATE tree SET signed_size = 0, signed_root = x'', note = ''")

    @property
    def run_ids(self) -> list[str]:
        return [row[0] for row in self.sql("SELECT run_id FROM runs ORDER BY launched_at, run_id")]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("errands")
    owner = Owner(folder)
    owner.write("errand.yaml", PROGRAM)
    for _ in range(3):
        owner.run("errand.yaml")
    owner.keep()
    owner.run("errand.yaml")
    return folder


@pytest.fixture
def owner(made: Path, tmp_path: Path) -> Owner:
    return Owner(Path(shutil.copytree(made, tmp_path / "copy")))


def test_a_store_that_nobody_touched_is_sound(owner: Owner) -> None:
    """With the own key, with a key that is given, and since a checkpoint."""
    key = owner.clew("checkpoint", "--public-key").out.strip()
    owner.write("key", key + "\n")
    for words in (
        [],
        ["--key", key],
        ["--key", "key"],
        ["--since", "kept"],
        ["--all", "--key", key, "--since", "kept"],
    ):
        tree, bad = owner.verify(*words, code=0)
        assert (tree["verdict"], tree["size"], tree["signed"], bad) == ("sound", 8, 8, "")
    told = owner.clew("verify")
    assert "tree clew/" in told.out and "8 leaves" in told.out and "signed up to 8" in told.out
    told = owner.clew("verify", owner.run_ids[0])
    assert "that this is the tree which was signed" in told.err


def test_a_checkpoint_is_what_others_can_read(owner: Owner) -> None:
    """A note of the tree's origin, size and root; asked again, it is the same."""
    told = owner.clew("checkpoint", "--format", "json").document
    origin, size, root, _, signature, _ = told["checkpoint"].split("\n")
    tree, _ = owner.verify(code=0)
    assert (origin, int(size), root) == (
        tree["origin"], tree["size"], b64encode(bytes.fromhex(tree["root"])).decode(),
    )  # fmt: skip
    assert signature.startswith(f"— {origin} ") and told["public_key"].startswith(f"{origin}+")
    assert owner.clew("checkpoint").out == told["checkpoint"]


def dropped(owner: Owner) -> None:
    run_id = owner.run_ids[1]
    for table in ("journal", "payloads", "stages", "runs"):
        owner.sql(f"DELETE FROM {table} WHERE run_id = ?", run_id)


def dropped_with_its_leaves(owner: Owner) -> None:
    owner.drop(owner.run_ids[1])


def dropped_and_built_anew(owner: Owner) -> None:
    owner.drop(owner.run_ids[1])
    owner.rebuild()


def swapped(owner: Owner) -> None:
    first, second = owner.run_ids[:2]
    for old, new in ((first, "x"), (second, first), ("x", second)):
        owner.sql("UPDATE leaves SET run_id = ? WHERE run_id = ?", new, old)


def reordered(owner: Owner) -> None:
    for old, new in ((0, 90), (1, 0), (90, 1)):
        owner.sql("UPDATE leaves SET leaf_index = ? WHERE leaf_index = ?", new, old)


def inserted(owner: Owner) -> None:
    owner.sql("INSERT INTO leaves SELECT leaf_index + 1, run_id, kind, entry_count, head FROM leaves "
              "WHERE leaf_index = 7")  # fmt: skip
    owner.sql("UPDATE tree SET size = 9")


def cut(owner: Owner) -> None:
    owner.sql("DELETE FROM leaves WHERE leaf_index = 7")


def note_of_another(owner: Owner) -> None:
    owner.sql("UPDATE tree SET note = ?", (owner.folder / "kept").read_text())


def signature_changed(owner: Owner) -> None:
    [(note,)] = owner.sql("SELECT note FROM tree")
    at = note.rindex(" ") + 20
    owner.sql("UPDATE tree SET note = ?", note[:at] + ("A" if note[at] != "A" else "B") + note[at + 1 :])


def signed_root_changed(owner: Owner) -> None:
    owner.sql("UPDATE tree SET signed_root = zeroblob(32)")


def peaks_changed(owner: Owner) -> None:
    owner.sql("UPDATE tree SET peaks = zeroblob(32)")


ATTACKS: list[tuple[Callable[[Owner], None], str]] = [
    (dropped, "is in the tree, and is gone from the store"),
    (dropped_with_its_leaves, r"the tree has 8 leaves, and only \d of them are there"),
    (dropped_and_built_anew, "the tree once had 8 leaves, and has 6: it was put back, or cut"),
    (swapped, "one of them was changed"),
    (reordered, "one of them was changed"),
    (inserted, "the tree has 9 leaves|does not have|peaks"),
    (cut, "only 7 of them are there"),
    (note_of_another, "the signature is of another tree"),
    (signature_changed, "is not of this checkpoint"),
    (signed_root_changed, "are not what was signed"),
    (peaks_changed, "one of them was changed"),
]


@pytest.mark.parametrize(("attack", "why"), ATTACKS, ids=lambda one: getattr(one, "__name__", ""))
def test_whatever_is_done_to_the_tree_is_found(
    owner: Owner, attack: Callable[[Owner], None], why: str
) -> None:
    """By whoever has the database and not the key."""
    attack(owner)
    told = owner.clew("verify", code=None)
    assert told.code in (1, 2), told
    assert re.search(why, told.out + told.err), told


def test_a_journal_that_was_cut_or_goes_on_is_found_by_its_leaf(owner: Owner) -> None:
    """Also where its row of the tracker was changed with it."""
    run_id = owner.run_ids[0]
    [(seq, content, hash)] = owner.sql(
        "SELECT seq, content, hash FROM journal WHERE run_id = ? ORDER BY seq DESC LIMIT 1", run_id
    )
    [(previous,)] = owner.sql("SELECT hash FROM journal WHERE run_id = ? AND seq = ?", run_id, seq - 1)
    owner.sql("DELETE FROM journal WHERE run_id = ? AND seq = ?", run_id, seq)
    owner.sql("UPDATE runs SET entry_count = ?, head = ? WHERE run_id = ?", seq, previous, run_id)
    told = owner.clew("verify", run_id, code=1)
    assert "the tree has 4 entries of the run: its end was cut off" in told.out or "status" in told.out
    owner.sql("INSERT INTO journal VALUES (?, ?, ?, ?)", run_id, seq, content, hash)
    owner.sql("UPDATE runs SET entry_count = ?, head = ? WHERE run_id = ?", seq + 1, hash, run_id)
    owner.clew("verify", run_id, code=0)
    owner.sql("DELETE FROM leaves WHERE run_id = ? AND kind = 'close'", run_id)
    assert "it was added after the run had settled" in owner.clew("verify", run_id, code=1).out


def test_a_store_that_was_put_back_is_found_by_a_checkpoint_that_was_kept(
    owner: Owner, tmp_path: Path
) -> None:
    """And, as long as that was not put back with it, by what stands beside the key; by nothing else: it is what it was,
    signature and all."""
    shutil.copy(owner.path, tmp_path / "old.db")
    signed = Path(owner.path + ".signing-key.signed")
    before = signed.read_text()
    owner.run("errand.yaml")
    kept = owner.keep("newer")
    for more in ("-wal", "-shm"):
        Path(owner.path + more).unlink(missing_ok=True)
    shutil.copy(tmp_path / "old.db", owner.path)
    tree, _ = owner.verify(code=1)
    assert tree["flaw"] == "the tree once had 10 leaves, and has 8: it was put back, or cut"
    owner.run("errand.yaml")
    told = owner.clew("checkpoint", code=2).err
    assert "a tree of 10 leaves was signed by this key, and the store's does not go on from it" in told
    for more in ("-wal", "-shm"):
        Path(owner.path + more).unlink(missing_ok=True)
    shutil.copy(tmp_path / "old.db", owner.path)
    signed.write_text(before)
    assert owner.verify(code=0)[0]["verdict"] == "sound", "what can't be found, can't"
    tree, _ = owner.verify("--since", kept, code=1)
    assert tree["flaw"] == "the tree once had 10 leaves, and has 8: it was put back, or cut"


def test_whoever_has_the_key_can_write_all_anew_but_for_what_was_kept(owner: Owner) -> None:
    """With what stands beside the key, nothing tells; a checkpoint that was kept does."""
    key = owner.clew("checkpoint", "--public-key").out.strip()
    Path(owner.path + ".signing-key.signed").unlink()
    owner.drop(owner.run_ids[0])
    owner.rebuild(signed=True)
    assert owner.verify("--key", key, code=3)[0]["missing"] == "nothing of the tree is signed yet"
    assert owner.verify(code=0)[0]["signed"] == 0, "whoever asks for no signature is told that there is none"
    owner.clew("checkpoint")
    assert owner.verify(code=0)[0]["verdict"] == "sound", "what can't be found, can't"
    tree, _ = owner.verify("--since", "kept", code=1)
    assert tree["flaw"] == "the first 6 leaves are not those of the checkpoint: they were written anew"


def test_whoever_has_not_the_key_is_found_by_it(owner: Owner, tmp_path: Path) -> None:
    """Another key signs nothing that the right one verifies; what is signed is never taken back."""
    key = owner.clew("checkpoint", "--public-key").out.strip()
    owner.drop(owner.run_ids[0])
    owner.rebuild(signed=True)
    for more in ("", ".signed"):
        Path(owner.path + ".signing-key" + more).unlink()
    owner.clew("checkpoint")
    tree, _ = owner.verify("--key", key, code=1)
    assert "not signed by a key that was given" in tree["flaw"]


def test_nothing_is_signed_that_does_not_go_on_from_what_was(owner: Owner) -> None:
    """A store that was put back, and forgets that more was signed, is not signed."""
    owner.sql("UPDATE tree SET signed_size = 9")
    told = owner.clew("checkpoint", code=2)
    assert "a checkpoint of 9 leaves was signed already" in told.err
    assert owner.run("errand.yaml")["status"] == "completed"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--key", "nonsense"], "--key nonsense: this is no public key"),
        (["--since", "nowhere"], "nowhere: can't be read: No such file"),
        (["--since", "errand.yaml"], "errand.yaml: a signed note is a text"),
    ],
)
def test_what_is_no_key_or_checkpoint_is_told(owner: Owner, words: list[str], why: str) -> None:
    """Nothing is verified then."""
    told = owner.clew("verify", *words, code=2)
    assert why in told.err and told.out == ""


def test_one_run_is_not_compared_with_a_checkpoint(owner: Owner) -> None:
    """Which is about all."""
    assert "leave out RUN" in owner.clew("verify", owner.run_ids[0], "--since", "kept", code=2).err


def test_a_key_that_others_can_read_signs_nothing(owner: Owner) -> None:
    """Runs go on; the verb says what is wrong."""
    Path(owner.path + ".signing-key").chmod(0o644)
    assert owner.run("errand.yaml")["status"] == "completed"
    assert "`chmod 600` it" in owner.clew("checkpoint", code=2).err
    told = owner.clew("doctor", "--format", "json", code=None).document
    [key] = [each for each in told["diagnoses"] if each["name"] == "signing key"]
    assert key["verdict"] == "doubtful" and "others than its owner" in key["found"]


def test_checkpoints_are_published_where_the_settings_say(owner: Owner) -> None:
    """Each by itself, so that none is written over; a place that does not answer keeps nobody from running."""
    owner.write("clew.toml", 'checkpoints = ["file:far"]\nsigning_key = "keys/mine"\n')
    owner.run("errand.yaml")
    origin = owner.verify(code=0)[0]["origin"]
    folder = owner.folder / "far" / origin
    published = sorted(folder.iterdir())[-1]
    assert published.name == "0000000000000010.checkpoint"
    assert owner.clew("checkpoint").out == published.read_text()
    assert (owner.folder / "keys" / "mine").stat().st_mode & 0o777 == 0o600
    shutil.rmtree(owner.folder / "far")
    (owner.folder / "far").write_text("no folder")
    assert owner.run("errand.yaml")["status"] == "completed"


def test_on_postgres_too_another_client_is_found(tmp_path: Path, postgres: PostgresServer) -> None:
    """Run and entry are named."""
    owner = Owner(tmp_path)
    url = postgres.url(postgres.new_database())
    owner.write("errand.yaml", PROGRAM)
    run = owner.run("errand.yaml", "--store", url)["run_id"]
    other = owner.run("errand.yaml", "--store", url)["run_id"]

    def verify(code: int) -> Done:
        return owner.clew("verify", "--all", "--store", url, "--format", "json", code=code)

    assert verify(0).document["tree"]["signed"] == 4
    with psycopg.connect(url) as connection:
        connection.execute(
            "UPDATE journal SET content = replace(content, 'completed', 'failed') WHERE run_id = %s AND seq = 3",
            (run,),
        )
    [bad] = [each for each in json.loads(verify(1).out)["runs"] if each["verdict"] != "sound"]
    assert (bad["run_id"], bad["problem"]["where"], bad["problem"]["seq"]) == (run, "journal", 3)
    with psycopg.connect(url) as connection:
        for table in ("journal", "payloads", "stages", "runs"):
            connection.execute(f"DELETE FROM {table} WHERE run_id = %s", (other,))
    assert other in verify(1).document["tree"]["flaw"]
