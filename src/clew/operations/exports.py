"""A run as one file that can be verified by anybody, without the store: written here, and judged.

The file is lines of canonical JSON (RFC 8785) in this order: `export`; `checkpoint`; `consistency` for each earlier
checkpoint that was asked for; `leaf` for each of the run's leaves in the tree; `program`; `block` for each of the plan;
`entry` for each of the journal, and behind it the `payload` that it names. What is hashed stands in `content` as a
text, byte for byte as it is stored. `docs/verification.md` has the format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from clew.core.program.content import VERSION_TAG
from clew.core.program.problems import ProgramError
from clew.core.running import statuses
from clew.core.running.entries import Entry, RunCreated
from clew.core.running.sealed_program import SealedProgram
from clew.core.sealing.canonical import BLOCK_TAG, canonical_bytes, payload_digest, tagged_hash
from clew.core.sealing.chain import ChainError, SealedBlock, verify_chain
from clew.core.sealing.journal import JournalError, JournalLinks
from clew.core.sealing.leaves import OPEN, Leaf
from clew.core.sealing.merkle import (
    ProofError,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)
from clew.core.sealing.notes import (
    Checkpoint,
    NoteError,
    PublicKey,
    Verify,
    read_checkpoint,
    read_note,
    verified_checkpoint,
)
from clew.operations.proving import (
    INCOMPLETE,
    SALT_SIZE,
    SOUND,
    TAMPERED,
    Flaw,
    Judgement,
    follow,
)
from clew.operations.records import Erasure, Records, Row, erasure_by
from clew.operations.requests import RequestError
from clew.operations.tree import nodes_of
from clew.ports import StoreError

FORMAT_VERSION = 1

LINE_SIZE_MAX = 64 * 1024 * 1024
"""Bytes: a payload is the largest thing, and an attempt may give out 16 MB."""

Line = Mapping[str, Any]


# ---- writing ---------------------------------------------------------------------------------------------


def export_lines(
    records: Records, row: Row, *, sign: Callable[[], str], since: Sequence[Checkpoint] = ()
) -> Iterator[bytes]:
    """The lines of a run's export, each with its newline. `sign` gives the tree as it is then, with all leaves that are
    due, as a signed note. Raises StoreError, RequestError when the run was removed, or the tree does not go on from one
    of the earlier checkpoints."""
    store, run_id, hash_of = records.store, row["run_id"], nodes_of(records.store.tree)
    # The journal first: what the run comes to meanwhile is not in the file, and all leaves of what is are in the tree.
    journal, stored = records.said(row)
    note = sign()
    checkpoint = read_checkpoint(read_note(note).text)

    def line(kind: str, **said: Any) -> bytes:
        return canonical_bytes({"kind": kind, **said}) + b"\n"

    yield line("export", run=run_id, v=FORMAT_VERSION)
    yield line("checkpoint", note=note)
    for earlier in since:
        if earlier.origin != checkpoint.origin or not 0 < earlier.size <= checkpoint.size:
            raise RequestError(
                f"the tree does not go on from a checkpoint of {earlier.size} of {earlier.origin}"
            )
        proof = consistency_proof(earlier.size, checkpoint.size, hash_of)
        yield line("consistency", proof=[each.hex() for each in proof], size=earlier.size)
    for index, leaf in store.tree.leaves_of(run_id):
        if index >= checkpoint.size or leaf.entries > len(journal):
            continue
        proof = inclusion_proof(index, checkpoint.size, hash_of)
        content, hashes = leaf.content().decode(), [each.hex() for each in proof]
        yield line("leaf", content=content, index=index, proof=hashes)
    program = store.program(row["version"])
    if program is None:
        raise StoreError(f"program version {row['version']} is missing; verify the store")
    yield line("program", content=program)
    for _, content, _ in store.chain(row["version"]):
        yield line("block", content=content)
    payloads = {payload.seq: payload for payload in stored}
    for seq, (content, _) in enumerate(journal):
        yield line("entry", content=content)
        if seq in payloads:
            payload = payloads[seq]
            text = records.content(payload).decode()
            yield line("payload", content=text, salt=payload.salt.hex())


# ---- judging ---------------------------------------------------------------------------------------------


class _Wrong(Exception):
    """What is found first."""

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw.what)
        self.flaw = flaw


class ExportJudge:
    """Judges one export, line by line: however long it is, little of it is in memory at a time."""

    def __init__(
        self,
        lines: Iterable[bytes],
        *,
        keys: Sequence[PublicKey],
        verify: Verify,
        read_program: Callable[[str], SealedProgram],
        since: Sequence[Checkpoint] = (),
    ) -> None:
        """`lines` with their newlines; `read_program` seals the program of a content, and raises ProgramError,
        ValueError where this version of clew can't."""
        self._lines = _Lines(lines)
        self._keys = keys
        self._verify = verify
        self._read_program = read_program
        self._since = since
        self._missing: Flaw | None = None
        self._absent: int | None = None
        """The first entry whose payload is not there, and that no entry has erased so far."""
        self._present: int | None = None
        """The first whose payload is there, of those that no entry has erased so far."""
        self._erasure: Erasure | None = None
        self.run_id = ""
        self._links = JournalLinks("")
        self._blocks: list[SealedBlock] = []

    def judge(self) -> Judgement:
        """What comes of it. Raises RequestError for what is no export."""
        status = ""
        try:
            try:
                status = self._judged()
            except (JournalError, ChainError, ProofError, NoteError) as error:
                seq = error.seq if isinstance(error, JournalError) else None
                what = str(error).removeprefix(f"entry {seq}: ")
                raise _Wrong(Flaw(_WHERE[type(error)], what, seq)) from error
        except _Wrong as wrong:
            return self._judgement(TAMPERED if wrong.flaw.is_proof else INCOMPLETE, status, wrong.flaw)
        return self._judgement(INCOMPLETE if self._missing else SOUND, status, self._missing)

    def _judgement(self, verdict: str, status: str, flaw: Flaw | None) -> Judgement:
        return Judgement(
            self.run_id, verdict, self._links.count, self._links.hash, status, flaw, self._erasure
        )

    def _misses(self, where: str, what: str, seq: int | None = None) -> None:
        self._missing = self._missing or Flaw(where, what, seq, is_proof=False)

    def _judged(self) -> str:
        """Read it all. Returns the run's status."""
        head = self._lines.take("export", run=str, v=int)
        if head is None or head["v"] != FORMAT_VERSION:
            raise RequestError(
                f"this is no export of a run, or one that a newer clew has made: {self._lines.why}"
            )
        self.run_id = head["run"]
        self._links = JournalLinks(self.run_id)
        leaves = self._read_tree()
        program = self._lines.must("program", content=str)["content"]
        version = tagged_hash(VERSION_TAG, program.encode())
        blocks: list[SealedBlock] = []
        while (block := self._lines.take("block", content=str)) is not None:
            content = block["content"].encode()
            blocks.append(SealedBlock(len(blocks) + 1, content, tagged_hash(BLOCK_TAG, content)))
        verify_chain(version, blocks)
        if not blocks:
            raise ChainError("plan block 1: it is missing")
        self._blocks = blocks
        entries = self._entries(version, leaves)
        try:
            sealed = self._read_program(program)
        except (ProgramError, ValueError) as error:
            self._misses(
                "program", f"what the run amounts to can't be derived by this version of clew: {error}"
            )
            for _ in entries:
                pass
            return ""
        if [block.hash for block in sealed.chain] != [block.hash for block in blocks]:
            self._misses("plan", "by this version of clew the program's plan is another")
        followed = follow(sealed, entries)
        if followed.flaw is not None:
            raise _Wrong(followed.flaw)
        status = followed.state.status
        self._see_end(leaves, is_settled=status in statuses.SETTLED)
        return status

    def _read_tree(self) -> list[Leaf]:
        """The run's leaves, which stand in the tree of the checkpoint."""
        note = self._lines.must("checkpoint", note=str)["note"]
        if self._keys:
            checkpoint = verified_checkpoint(note, self._keys, self._verify)
        else:
            checkpoint = read_checkpoint(read_note(note).text)
            self._misses("tree", "no key was given (--key): whoever made the file may have made all of it up")
        wanted = {earlier.size: earlier for earlier in self._since}
        while (line := self._lines.take("consistency", proof=list, size=int)) is not None:
            earlier = wanted.pop(line["size"], None)
            if earlier is not None:
                if earlier.origin != checkpoint.origin:
                    raise ProofError(f"the checkpoint that was kept is of another tree, {earlier.origin}")
                proof = _hashes(line["proof"])
                verify_consistency(earlier.size, earlier.root, checkpoint.size, checkpoint.root, proof)
            elif self._since:
                self._misses("tree", f"no checkpoint of {line['size']} leaves was given (--since)")
        for size in wanted:
            self._misses("tree", f"the file does not prove that its tree goes on from that of {size} leaves")
        leaves: list[Leaf] = []
        while (line := self._lines.take("leaf", content=str, index=int, proof=list)) is not None:
            content = line["content"].encode()
            leaf = _leaf(content)
            if leaf.run != self.run_id:
                raise ProofError("a leaf is of another run")
            proof = _hashes(line["proof"])
            verify_inclusion(leaf_hash(content), line["index"], checkpoint.size, proof, checkpoint.root)
            leaves.append(leaf)
        if not leaves or leaves[0].kind != OPEN:
            raise ProofError("the leaf of the run's beginning is missing")
        if [leaf.entries for leaf in leaves] != sorted(leaf.entries for leaf in leaves):
            raise ProofError("the run's leaves are out of order")
        return leaves

    def _entries(self, version: str, leaves: Sequence[Leaf]) -> Iterator[Entry]:
        """The entries, each with its link, its payload and the leaves that end with it verified."""
        hashes = {block.hash for block in self._blocks}
        heads = {leaf.entries: leaf.head for leaf in leaves}
        links = self._links
        while (line := self._lines.take("entry", content=str)) is not None:
            entry = links.take(line["content"].encode())
            body = entry.body
            if entry.seq == 0:
                assert isinstance(body, RunCreated), "the first of a journal's links"
                if body.plan != self._blocks[-1].hash or body.version != version:
                    raise JournalError(0, "it links to another program, or another plan")
            elif isinstance(body, RunCreated):
                raise JournalError(entry.seq, "a run is created once")
            if entry.block and entry.block not in hashes:
                raise JournalError(entry.seq, "it names a block that the plan does not have")
            self._see_erasure(entry)
            self._see_payload(entry)
            head = heads.get(links.count)
            if head is not None and head != links.hash:
                raise JournalError(
                    entry.seq, "by the tree, the journal up to here was another: it was written anew"
                )
            yield entry
        self._lines.end()
        if not links.count:
            raise JournalError(0, "the journal is empty")
        if self._absent is not None:
            self._misses("payload", "the payload that it names is missing", self._absent)

    def _see_erasure(self, entry: Entry) -> None:
        """What was erased is not there, and need not be."""
        erasure = erasure_by(entry)
        if erasure is None:
            return
        if self._present is not None:
            what = f"it was erased by entry {entry.seq}, and stands there again"
            raise _Wrong(Flaw("payload", what, self._present))
        self._absent, self._erasure = None, erasure

    def _see_payload(self, entry: Entry) -> None:
        line = self._lines.take("payload", content=str, salt=str)
        if line is None:
            if entry.payload and self._absent is None:
                self._absent = entry.seq
            return
        if self._present is None:
            self._present = entry.seq
        salt = _bytes_of(line["salt"])
        if len(salt) != SALT_SIZE or not entry.payload:
            raise _Wrong(Flaw("payload", "its payload's salt was changed, or it names none", entry.seq))
        if payload_digest(salt, line["content"].encode()) != entry.payload:
            raise _Wrong(Flaw("payload", "its payload, or the salt, is not what was hashed", entry.seq))

    def _see_end(self, leaves: Sequence[Leaf], *, is_settled: bool) -> None:
        covered, count = leaves[-1].entries, self._links.count
        if covered > count:
            raise JournalError(count, f"the tree has {covered} entries of the run: its end was cut off")
        if covered < count and is_settled:
            raise JournalError(
                covered, "the tree does not have this entry: it was added after the run had settled"
            )
        if covered < count:
            self._misses(
                "tree",
                "this entry and what follows are not in the tree yet: the run has not settled",
                covered,
            )


_WHERE = {JournalError: "journal", ChainError: "plan", ProofError: "tree", NoteError: "tree"}


class _Lines:
    """Lines of canonical JSON, one after the other."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = iter(lines)
        self._number = 0
        self._next: Line | None = None
        self.why = "its first line is not one of an export"

    def take(self, kind: str, **keys: type) -> Line | None:
        """The next line if it is of that kind, with these keys and no others; else None. Raises _Wrong, RequestError
        where it is the first."""
        if self._next is None:
            self._next = self._read()
        line = self._next
        if line is None or line.get("kind") != kind:
            return None
        if line.keys() != {"kind", *keys} or any(type(line[key]) is not of for key, of in keys.items()):
            raise self._wrong(f"a line '{kind}' has the keys {', '.join(sorted(keys))}, and no others")
        self._next = None
        return line

    def must(self, kind: str, **keys: type) -> Line:
        line = self.take(kind, **keys)
        if line is None:
            raise self._wrong(f"a line '{kind}' is missing here")
        return line

    def end(self) -> None:
        """There is no further line. Raises _Wrong."""
        if self._next is None:
            self._next = self._read()
        if self._next is not None:
            raise self._wrong("this line has no place here")

    def _read(self) -> Line | None:
        raw = next(self._lines, None)
        self._number += 1
        if raw is None:
            return None
        if len(raw) > LINE_SIZE_MAX or not raw.endswith(b"\n"):
            raise self._wrong(f"it does not end, or is longer than {LINE_SIZE_MAX} bytes")
        try:
            value = msgspec.json.decode(raw[:-1])
            is_canonical = isinstance(value, dict) and canonical_bytes(value) == raw[:-1]
        except (msgspec.DecodeError, ValueError, RecursionError):
            is_canonical = False
        if not is_canonical:
            raise self._wrong("it is not canonical JSON (RFC 8785)")
        line: Line = value
        return line

    def _wrong(self, what: str) -> Exception:
        self.why = f"line {self._number}: {what}"
        if self._number == 1:
            return RequestError(f"this is no export of a run: {self.why}")
        return _Wrong(Flaw("file", self.why))


def _leaf(content: bytes) -> Leaf:
    try:
        leaf = msgspec.json.decode(content, type=Leaf)
    except msgspec.DecodeError as error:
        raise ProofError(f"a leaf can't be read: {error}") from error
    if leaf.content() != content:
        raise ProofError("a leaf is not in canonical form")
    return leaf


def _hashes(texts: Sequence[Any]) -> list[bytes]:
    return [_bytes_of(text) for text in texts]


def _bytes_of(text: Any) -> bytes:
    """The bytes of a text in lowercase hex. Raises ProofError for any other."""
    try:
        found = bytes.fromhex(text)
    except (TypeError, ValueError):
        found = b""
    if not found or found.hex() != text:
        raise ProofError("a hash, or a salt, is not in lowercase hex")
    return found
