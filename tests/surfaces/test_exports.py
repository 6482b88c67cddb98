"""An export is verified by two programs that share no code; whatever is changed of it, both find.

What nobody can find is told here, too.
"""

from __future__ import annotations

import asyncio
import importlib.util
import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from functools import lru_cache
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import pytest
from tests.surfaces.calling import Person

import clew
from clew.core.running.sealed_program import SealedProgram
from clew.core.sealing.canonical import ENTRY_TAG, tagged_hash
from clew.core.sealing.notes import Checkpoint, read_checkpoint, read_key, read_note
from clew.operations.exports import ExportJudge
from clew.operations.requests import RequestError
from clew.settings import Settings, read_settings
from clew.trust.signing import verify_signature
from clew.wiring.exporting import export_run, signed_now
from clew.wiring.programs import read_document, seal

TOOL = Path(__file__).parents[2] / "tools" / "verify_export.py"

SOUND, TAMPERED, UNUSABLE, INCOMPLETE = 0, 1, 2, 3


def _loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("verify_export", TOOL)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.is_signed = lru_cache(maxsize=None)(module.is_signed)  # type: ignore[attr-defined]  # it is slow, and asked often
    return module


tool = _loaded()
cached_verify = lru_cache(maxsize=None)(verify_signature)


@lru_cache(maxsize=8)
def sealed_of(content: str) -> SealedProgram:
    return seal(read_document(json.loads(content)))


class Exported:
    """Exports of one store, and who judges them."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder, self.settings = folder, settings
        self.key = str(signed_now(settings)[1])

    def export(self, run_id: str, since: Sequence[Checkpoint] = ()) -> bytes:
        return b"".join(export_run(self.settings, run_id, since))

    def judge(self, content: bytes, *, key: str | None = None, since: str = "") -> tuple[int, int]:
        """What clew makes of it, and what the other one does."""
        key = self.key if key is None else key
        return self._by_clew(content, key, since), self._by_the_other(content, key, since)

    def _by_clew(self, content: bytes, key: str, since: str) -> int:
        kept = [read_checkpoint(read_note(since).text)] if since else []
        judge = ExportJudge(
            io.BytesIO(content), keys=[read_key(key)] if key else [], verify=cached_verify,
            read_program=sealed_of, since=kept,
        )  # fmt: skip
        try:
            return {"sound": SOUND, "tampered": TAMPERED, "incomplete": INCOMPLETE}[judge.judge().verdict]
        except RequestError:
            return UNUSABLE

    def _by_the_other(self, content: bytes, key: str, since: str) -> int:
        (self.folder / "judged").write_bytes(content)
        words = [str(self.folder / "judged"), *(["--key", key] if key else [])]
        if since:
            (self.folder / "since").write_text(since)
            words += ["--since", str(self.folder / "since")]
        with redirect_stdout(io.StringIO()):
            return int(tool.main(words))


async def nothing() -> None:
    pass


async def twice(value: str) -> dict[str, str]:
    return {"doubled": value * 2}


begun, let_go = asyncio.Event(), asyncio.Event()


async def hang() -> None:
    begun.set()
    await let_go.wait()


OTHER = clew.Program("other", stages=[clew.stage(rollback="none", name="go")(nothing)])
SHORT = clew.Program(
    "short", stages=[clew.stage(rollback="none", name=name)(hang) for name in ("one", "two")]
)
"""A run of it is created with its two attempts: three entries, until these have ended."""

LONG = clew.Program(
    "long",
    stages=[
        clew.stage(name=f"stage-{at}", rollback="none", after=[f"stage-{at - 1}"] if at else [])(nothing)
        for at in range(99)
    ],
)
VALUED = clew.Program(
    "valued",
    variables={"value": "é\n\"{}'"},
    stages=[clew.stage(rollback="none", outputs=["doubled"])(twice)],
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Exported, dict[str, str]]]:
    folder = tmp_path_factory.mktemp("exported")
    settings = read_settings(folder=str(folder), environment={})

    async def run() -> dict[str, str]:
        global begun, let_go
        begun, let_go = asyncio.Event(), asyncio.Event()
        programs = (OTHER, LONG, VALUED)
        async with clew.open_session(*programs, SHORT, settings=settings) as session:
            ids = {program.model.name: (await session.run(program)).run_id for program in programs}
            of_short: list[str] = []
            short = asyncio.create_task(
                session.run(SHORT, observer=lambda entry, state: of_short.append(state.run_id))
            )
            await begun.wait()
            (folder / "short").write_bytes(b"".join(export_run(settings, of_short[0], ())))
            let_go.set()
            assert (await short).is_completed
        return ids

    ids = asyncio.run(run())
    yield Exported(folder, settings), ids


@pytest.fixture(scope="module")
def exported(runs: tuple[Exported, dict[str, str]]) -> Exported:
    return runs[0]


@pytest.fixture(scope="module")
def short(runs: tuple[Exported, dict[str, str]]) -> bytes:
    return (runs[0].folder / "short").read_bytes()


@pytest.fixture(scope="module")
def long(runs: tuple[Exported, dict[str, str]]) -> bytes:
    return runs[0].export(runs[1]["long"])


@pytest.fixture(scope="module")
def valued(runs: tuple[Exported, dict[str, str]]) -> bytes:
    return runs[0].export(runs[1]["valued"])


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


# ---- what was not changed --------------------------------------------------------------------------------


def test_an_export_is_sound(exported: Exported, short: bytes, long: bytes, valued: bytes) -> None:
    """For whoever has the key; whoever has none knows only that it fits together."""
    assert short.count(b'"kind":"entry"') == 3 and long.count(b'"kind":"entry"') == 200
    for content in (short, long, valued):
        assert exported.judge(content) == (SOUND, SOUND)
        assert exported.judge(content, key="") == (INCOMPLETE, INCOMPLETE)


def test_an_export_proves_that_the_tree_goes_on_from_what_was_kept(
    runs: tuple[Exported, dict[str, str]], tmp_path: Path
) -> None:
    """If it was asked to; another history does not."""
    exported, ids = runs
    kept = signed_now(exported.settings)[0]

    async def more() -> None:
        async with clew.open_session(OTHER, settings=exported.settings) as session:
            await session.run(OTHER)

    asyncio.run(more())
    checkpoint = read_checkpoint(read_note(kept).text)
    content = exported.export(ids["valued"], [checkpoint])
    assert exported.judge(content, since=kept) == (SOUND, SOUND)
    assert exported.judge(content) == (SOUND, SOUND)
    assert exported.judge(exported.export(ids["valued"]), since=kept) == (INCOMPLETE, INCOMPLETE)
    other = checkpoint._replace(root=bytes(32)).text() + kept[kept.index("\n\n") + 1 :]
    assert exported.judge(content, since=other) == (TAMPERED, TAMPERED)
    other = checkpoint._replace(origin="clew/other").text() + kept[kept.index("\n\n") + 1 :]
    assert exported.judge(content, since=other) == (TAMPERED, TAMPERED)
    with pytest.raises(RequestError, match="does not go on from a checkpoint of"):
        exported.export(ids["valued"], [checkpoint._replace(size=10_000)])


# ---- what was changed by chance --------------------------------------------------------------------------


@pytest.mark.parametrize("bit", range(8))
def test_every_bit_of_a_short_export_counts(exported: Exported, short: bytes, bit: int) -> None:
    """Whichever is flipped, both say that the file is not what was written."""
    assert short.count(b'"kind":"entry"') == 3
    for at in range(len(short)):
        codes = exported.judge(flipped(short, 8 * at + bit))
        assert set(codes) <= {TAMPERED, UNUSABLE}, (at, bit, codes, short[max(0, at - 40) : at + 40])


@pytest.mark.parametrize("part", range(4))
def test_bits_of_a_long_export_count(exported: Exported, long: bytes, part: int) -> None:
    """Two thousand of them, by seed."""
    random = Random(part)
    for _ in range(500):
        bit = random.randrange(8 * len(long))
        codes = exported.judge(flipped(long, bit))
        assert set(codes) <= {TAMPERED, UNUSABLE}, (bit, codes)


@pytest.mark.soak
@pytest.mark.parametrize("part", range(20))
def test_many_mutations_of_exports_are_found(
    exported: Exported, short: bytes, valued: bytes, part: int
) -> None:
    """A hundred thousand: bits, bytes, pieces that are cut, doubled, moved or taken from the other file."""
    random = Random(1_000 + part)
    for _ in range(5_000):
        content, other = random.choice([(short, valued), (valued, short)])
        changed = MUTATIONS[random.randrange(len(MUTATIONS))](random, content, other)
        if changed in (content, other):
            continue
        codes = exported.judge(changed)
        assert set(codes) <= {TAMPERED, UNUSABLE}, (codes, changed)


def _span(random: Random, content: bytes) -> tuple[int, int]:
    begin = random.randrange(len(content))
    return begin, min(len(content), begin + random.choice([1, 2, 8, 64, 1024]))


def _cut(random: Random, content: bytes, other: bytes) -> bytes:
    begin, end = _span(random, content)
    return content[:begin] + content[end:]


def _doubled(random: Random, content: bytes, other: bytes) -> bytes:
    begin, end = _span(random, content)
    return content[:end] + content[begin:end] + content[end:]


def _foreign(random: Random, content: bytes, other: bytes) -> bytes:
    begin, end = _span(random, content)
    return content[:begin] + other[begin:end] + content[end:]


def _line_moved(random: Random, content: bytes, other: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    lines.insert(random.randrange(len(lines)), lines.pop(random.randrange(len(lines))))
    return b"".join(lines)


def _foreign_line(random: Random, content: bytes, other: bytes) -> bytes:
    lines, others = content.splitlines(keepends=True), other.splitlines(keepends=True)
    lines[random.randrange(len(lines))] = random.choice(others)
    return b"".join(lines)


def _byte(random: Random, content: bytes, other: bytes) -> bytes:
    at = random.randrange(len(content))
    return content[:at] + bytes([random.randrange(256)]) + content[at + 1 :]


MUTATIONS: list[Callable[[Random, bytes, bytes], bytes]] = [
    _cut, _doubled, _foreign, _line_moved, _foreign_line, _byte,
    lambda random, content, _: flipped(content, random.randrange(8 * len(content))),
]  # fmt: skip


# ---- what was changed on purpose -------------------------------------------------------------------------

Lines = list[bytes]


def _of(lines: Lines, kind: str) -> list[int]:
    return [at for at, line in enumerate(lines) if f'"kind":"{kind}"'.encode() in line]


def edit(lines: Lines, other: Lines) -> None:
    at = _of(lines, "entry")[-1]
    lines[at] = lines[at].replace(b"completed", b"failed")


def insert(lines: Lines, other: Lines) -> None:
    at = _of(lines, "entry")[1]
    lines.insert(at, lines[at])


def delete(lines: Lines, other: Lines) -> None:
    del lines[_of(lines, "entry")[1]]


def reorder(lines: Lines, other: Lines) -> None:
    one, two = _of(lines, "entry")[1:3]
    lines[one], lines[two] = lines[two], lines[one]


def truncate(lines: Lines, other: Lines) -> None:
    del lines[_of(lines, "entry")[-1] :]


def swap_journals(lines: Lines, other: Lines) -> None:
    lines[_of(lines, "entry")[0] :] = other[_of(other, "entry")[0] :]


def swap_the_name(lines: Lines, other: Lines) -> None:
    lines[0] = other[0]


def swap_the_leaves(lines: Lines, other: Lines) -> None:
    begin = _of(lines, "leaf")[0]
    lines[begin : _of(lines, "leaf")[-1] + 1] = [other[at] for at in _of(other, "leaf")]


def no_leaves(lines: Lines, other: Lines) -> None:
    for at in reversed(_of(lines, "leaf")):
        del lines[at]


def no_beginning(lines: Lines, other: Lines) -> None:
    del lines[_of(lines, "leaf")[0]]


def no_block(lines: Lines, other: Lines) -> None:
    del lines[_of(lines, "block")[-1]]


def no_program(lines: Lines, other: Lines) -> None:
    del lines[_of(lines, "program")[0]]


def no_checkpoint(lines: Lines, other: Lines) -> None:
    del lines[1]


def a_key_twice(lines: Lines, other: Lines) -> None:
    lines[0] = lines[0].replace(b'{"kind":"export",', b'{"kind":"export","kind":"export",')


def a_key_twice_in_an_entry(lines: Lines, other: Lines) -> None:
    at = _of(lines, "entry")[1]
    lines[at] = lines[at].replace(b'{\\"at\\":', b'{\\"at\\":1,\\"at\\":')


def a_float(lines: Lines, other: Lines) -> None:
    at = _of(lines, "leaf")[0]
    lines[at] = lines[at].replace(b'\\"v\\":1', b'\\"v\\":1.0')


def a_float_outside(lines: Lines, other: Lines) -> None:
    lines[0] = lines[0].replace(b'"v":1', b'"v":1.0')


def spaces(lines: Lines, other: Lines) -> None:
    lines[2] = lines[2].replace(b'","', b'", "', 1)


def an_escape(lines: Lines, other: Lines) -> None:
    at = _of(lines, "entry")[0]
    lines[at] = lines[at].replace(b"run_created", b"run\\u005fcreated")


def another_order(lines: Lines, other: Lines) -> None:
    value = json.loads(lines[-1])
    lines[-1] = (
        json.dumps(dict(reversed(value.items())), separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
    )


def a_line_more(lines: Lines, other: Lines) -> None:
    lines.append(lines[0])


def an_empty_line(lines: Lines, other: Lines) -> None:
    lines.append(b"\n")


def no_end(lines: Lines, other: Lines) -> None:
    lines[-1] = lines[-1].rstrip(b"\n")


def a_node_for_a_leaf(lines: Lines, other: Lines) -> None:
    """The content of a leaf is said to be that of the node above it, with a proof that is one shorter."""
    at = _of(lines, "leaf")[0]
    value = json.loads(lines[at])
    value["proof"], value["index"] = value["proof"][1:], value["index"] // 2
    lines[at] = _said(value) + b"\n"


def _said(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def rewrite_without_the_key(lines: Lines, other: Lines) -> None:
    """The last entry says another time, and the run's last leaf has its hash: all fits, but for the signed tree."""
    at, leaf_at = _of(lines, "entry")[-1], _of(lines, "leaf")[-1]
    line, leaf_line = json.loads(lines[at]), json.loads(lines[leaf_at])
    entry, leaf = json.loads(line["content"]), json.loads(leaf_line["content"])
    entry["at"] += 1
    line["content"] = _said(entry).decode()
    leaf["head"] = tagged_hash(ENTRY_TAG, line["content"].encode())
    leaf_line["content"] = _said(leaf).decode()
    lines[at], lines[leaf_at] = _said(line) + b"\n", _said(leaf_line) + b"\n"


def another_place(lines: Lines, other: Lines) -> None:
    """The leaf is said to stand elsewhere in the tree."""
    at = _of(lines, "leaf")[-1]
    value = json.loads(lines[at])
    value["index"] -= 1
    lines[at] = _said(value) + b"\n"


ATTACKS = [
    rewrite_without_the_key, another_place,
    edit, insert, delete, reorder, truncate, swap_journals, swap_the_name, swap_the_leaves, no_leaves, no_beginning,
    no_block, no_program, no_checkpoint, a_key_twice, a_key_twice_in_an_entry, a_float, a_float_outside, spaces,
    an_escape, another_order, a_line_more, an_empty_line, no_end, a_node_for_a_leaf,
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_whatever_is_done_to_an_export_is_found(
    exported: Exported, runs: tuple[Exported, dict[str, str]], attack: Callable[[Lines, Lines], None]
) -> None:
    """By both; also without the key where it has nothing to do with it."""
    lines = exported.export(runs[1]["valued"]).splitlines(keepends=True)
    other = exported.export(runs[1]["other"]).splitlines(keepends=True)
    before = list(lines)
    attack(lines, other)
    assert lines != before
    for key in (None, ""):
        codes = exported.judge(b"".join(lines), key=key)
        assert set(codes) <= {TAMPERED, UNUSABLE}, (attack.__name__, key, codes)


def test_an_export_of_old_is_still_what_it_was(exported: Exported) -> None:
    """The format is frozen: what this version's predecessors have written is verified for as long as anybody keeps
    it, and whatever is done to it is found."""
    frozen = Path(__file__).parent / "exports"
    content, key = (frozen / "run.clew").read_bytes(), (frozen / "key").read_text().strip()
    since = (frozen / "earlier.checkpoint").read_text()
    assert exported.judge(content, key=key) == (SOUND, SOUND)
    assert exported.judge(content, key=key, since=since) == (SOUND, SOUND)
    for attack in ATTACKS:
        if attack in (swap_journals, swap_the_leaves):
            continue  # which take them from another file
        lines = content.splitlines(keepends=True)
        attack(lines, [b'{"kind":"export","run":"another","v":1}\n'])
        codes = exported.judge(b"".join(lines), key=key)
        assert set(codes) <= {TAMPERED, UNUSABLE}, (attack.__name__, codes)


def test_a_payload_that_is_missing_is_told(exported: Exported, valued: bytes) -> None:
    """It is no proof of anything, and not all could be looked at."""
    lines = valued.splitlines(keepends=True)
    del lines[_of(lines, "payload")[0]]
    assert exported.judge(b"".join(lines)) == (INCOMPLETE, INCOMPLETE)


def test_a_store_that_somebody_else_made_up_is_not_signed_by_the_key(
    exported: Exported, tmp_path: Path
) -> None:
    """However well all of it fits; a key inside of the file is none."""
    settings = read_settings(folder=str(tmp_path), environment={})

    async def run() -> str:
        async with clew.open_session(OTHER, settings=settings) as session:
            return (await session.run(OTHER)).run_id

    run_id = asyncio.run(run())
    content = b"".join(export_run(settings, run_id, ()))
    assert exported.judge(content) == (TAMPERED, TAMPERED)
    assert exported.judge(content, key="") == (INCOMPLETE, INCOMPLETE)
    own = str(signed_now(settings)[1])
    assert exported.judge(content, key=own) == (SOUND, SOUND)


def test_an_older_export_is_what_the_run_was_then(exported: Exported, short: bytes) -> None:
    """Nobody can tell from the file that there is a newer one: that is what a checkpoint which was kept is for."""
    newer = signed_now(exported.settings)[0]
    assert exported.judge(short) == (SOUND, SOUND), "what can't be found, can't"
    assert exported.judge(short, since=newer) == (INCOMPLETE, INCOMPLETE)


@pytest.mark.parametrize("content", [b"", b"{}\n", b"nonsense", b"\xff\xfe", b"[" * 100_000 + b"\n"])
def test_what_is_no_export_is_told_apart(exported: Exported, content: bytes) -> None:
    """It can't be used."""
    assert exported.judge(content) == (UNUSABLE, UNUSABLE)


# ---- as a person calls it --------------------------------------------------------------------------------


def test_a_person_exports_and_verifies(tmp_path: Path) -> None:
    """With the verb, and with the file for auditors, which needs nothing else."""
    import subprocess
    import sys

    person = Person(tmp_path)
    person.write(
        "one.yaml",
        'name: one\nstages:\n  - {name: a, execute: {command: shell, params: ["true"]}, rollback: none}\n',
    )
    run_id = person.run("one.yaml")["run_id"]
    told = person.clew("export", run_id[:20], "--output", "run.clew")
    assert "clew verify run.clew --key KEY" in told.err
    person.write("key", person.clew("checkpoint", "--public-key").out)
    assert "sound" in person.clew("verify", "run.clew", "--key", "key").out
    told = person.clew("verify", "run.clew", code=3)
    assert "no key was given" in told.out and "next: ask whoever made the file" in told.err
    assert person.clew("export", run_id, "--output", "-").out == (tmp_path / "run.clew").read_text()
    other = subprocess.run(
        [sys.executable, "-I", "-S", TOOL, "run.clew", "--key", "key"], cwd=tmp_path, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert other.returncode == 0 and other.stdout.startswith(f"sound: run {run_id}, completed, 4 entries")
    (tmp_path / "run.clew").write_text((tmp_path / "run.clew").read_text().replace("completed", "failed"))
    told = person.clew("verify", "run.clew", "--key", "key", code=1)
    assert "journal, entry 3: it does not link to the entry before" in told.out
    assert f"tampered  {run_id}  3 entries" in told.out
    assert "this is no export" in person.clew("verify", "one.yaml", code=2).err
    assert "there is no run" in person.clew("export", "nope", "--output", "x", code=2).err
    assert "can't be written" in person.clew("export", run_id, "--output", "no/where", code=2).err
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("x")], "nothing half done is left"
    told = person.clew("verify", "run.clew", "--format", "json", code=1).document
    assert [each["verdict"] for each in told["runs"]] == ["tampered"] and told["tree"] is None
    elsewhere = Person(tmp_path / "elsewhere")
    elsewhere.folder.mkdir()
    for words in (["checkpoint"], ["export", "x", "--output", "x"]):
        assert "there is no store here" in elsewhere.clew(*words, code=2).err
    assert not list(elsewhere.folder.iterdir())


def test_the_other_one_believes_no_erasure_of_what_had_not_settled() -> None:
    """Nor of what was settled once, and goes back again."""
    erased = {"at": 5, "body": {"kind": "payloads_erased", "by": "somebody"}}
    export = tool.Export([], {})
    for kind in ("run_created", "rollback_requested"):
        export.see_erasure(0, {"at": 5, "body": {"kind": "run_settled"}})
        export.see_erasure(1, erased)
        export.see_erasure(2, {"at": 5, "body": {"kind": kind}})
    with pytest.raises(tool.Tampered, match="before the run had settled"):
        export.see_erasure(3, erased)
