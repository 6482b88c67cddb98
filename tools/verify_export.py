#!/usr/bin/env python3
"""Verifies what `clew export` has written: `python3 verify_export.py FILE --key KEY [--since CHECKPOINT]`.

For auditors: one file, Python 3.9 or later, nothing to install, nothing of clew's own code. It reads the file, the keys
and the checkpoints that it is given, and nothing else. What it checks, and what nobody can, is in docs/verification.md
of clew's sources, with the format.

Exit code: 0 sound, 1 tampered, 2 the file, a key or a checkpoint can't be used, 3 evidence is incomplete.
"""

import argparse
import base64
import binascii
import hashlib
import json
import sys
import time

INTEGER_MAX = 2**53 - 1
LINE_SIZE_MAX = 64 * 1024 * 1024
SALT_SIZE = 16


class Tampered(Exception):
    """The first thing that does not hold."""


class Unusable(Exception):
    """What was given is no export, no key or no checkpoint."""


# ---- canonical JSON (RFC 8785, without floats) ---------------------------------------------------------------


def _object(pairs):
    keys = [key for key, _ in pairs]
    if len(keys) != len(set(keys)):
        raise ValueError("a key stands there twice")
    return dict(pairs)


def _integer(text):
    number = int(text)
    if abs(number) > INTEGER_MAX:
        raise ValueError("a number is too large")
    return number


def _no_number(text):
    raise ValueError(f"{text} is not allowed here")


def canonical(raw, what):
    """The value of these bytes, which must be the one way to write it."""
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_no_number,
            parse_constant=_no_number,
        )
        again = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise Tampered(f"{what}: not canonical JSON: {error}") from error
    if again != raw:
        raise Tampered(f"{what}: not canonical JSON: it could be written otherwise")
    return value


# ---- hashes and trees (RFC 6962) -----------------------------------------------------------------------------


def tagged(tag, content):
    return hashlib.sha256(tag + content).hexdigest()


def node(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def unhex(text, size=32):
    try:
        found = bytes.fromhex(text)
    except (TypeError, ValueError):
        found = b""
    if len(found) != size or found.hex() != text:
        raise Tampered("a hash, or a salt, is not lowercase hex of its length")
    return found


def root_by_inclusion(leaf, index, size, proof):
    """The root to which the proof leads, by the recursion of RFC 6962, 2.1.1, from the top down."""
    if not 0 <= index < size:
        raise Tampered(f"the tree has no leaf {index}")
    if size == 1:
        if proof:
            raise Tampered("an inclusion proof is too long")
        return leaf
    if not proof:
        raise Tampered("an inclusion proof is too short")
    half = 1 << ((size - 1).bit_length() - 1)
    if index < half:
        return node(root_by_inclusion(leaf, index, half, proof[:-1]), proof[-1])
    return node(proof[-1], root_by_inclusion(leaf, index - half, size - half, proof[:-1]))


def roots_by_consistency(first, second, proof, first_root, is_whole=True):
    """The roots of both trees by the recursion of RFC 6962, 2.1.2."""
    if first == second:
        if is_whole:
            if proof:
                raise Tampered("a consistency proof is too long")
            return first_root, first_root
        if len(proof) != 1:
            raise Tampered("a consistency proof has the wrong length")
        return proof[0], proof[0]
    if not proof:
        raise Tampered("a consistency proof is too short")
    half = 1 << ((second - 1).bit_length() - 1)
    if first <= half:
        old, new = roots_by_consistency(first, half, proof[:-1], first_root, is_whole)
        return old, node(new, proof[-1])
    old, new = roots_by_consistency(first - half, second - half, proof[:-1], first_root, False)
    return node(proof[-1], old), node(proof[-1], new)


# ---- Ed25519 (RFC 8032), to verify ---------------------------------------------------------------------------

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)


def _x_of(y, sign):
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    if square == 0:
        return None if sign else 0
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if (x * x - square) % P:
        return None
    return P - x if x & 1 != sign else x


def _point(raw):
    y = int.from_bytes(raw, "little")
    sign = y >> 255
    y &= 2**255 - 1
    x = _x_of(y, sign)
    return None if x is None else (x, y, 1, x * y % P)


def _add(one, two):
    a = (one[1] - one[0]) * (two[1] - two[0]) % P
    b = (one[1] + one[0]) * (two[1] + two[0]) % P
    c = 2 * one[3] * two[3] * D % P
    d = 2 * one[2] * two[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def _times(number, point):
    result = (0, 1, 1, 0)
    while number:
        if number & 1:
            result = _add(result, point)
        point = _add(point, point)
        number >>= 1
    return result


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE_X = _x_of(BASE_Y, 0)
BASE = (BASE_X, BASE_Y, 1, BASE_X * BASE_Y % P)


def is_signed(key, text, signature):
    """Whether the Ed25519 signature of the text is by that public key."""
    if len(key) != 32 or len(signature) != 64:
        return False
    public, commitment = _point(key), _point(signature[:32])
    answer = int.from_bytes(signature[32:], "little")
    if public is None or commitment is None or answer >= ORDER:
        return False
    challenge = int.from_bytes(hashlib.sha512(signature[:32] + key + text).digest(), "little") % ORDER
    left, right = _times(answer, BASE), _add(commitment, _times(challenge, public))
    is_x = (left[0] * right[2] - right[0] * left[2]) % P == 0
    return is_x and (left[1] * right[2] - right[1] * left[2]) % P == 0


# ---- keys and checkpoints (C2SP signed notes) ----------------------------------------------------------------


def unbase64(text):
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return found if base64.b64encode(found).decode() == text else None


def key_id_of(name, key):
    return hashlib.sha256(name.encode() + b"\n\x01" + key).digest()[:4]


def read_key(word):
    try:
        with open(word, encoding="utf-8") as file:
            word = file.read(2000)
    except OSError:
        pass
    name, _, rest = word.strip().partition("+")
    key_id, _, encoded = rest.partition("+")
    data = unbase64(encoded)
    if (
        not name
        or data is None
        or len(data) != 33
        or data[0] != 1
        or key_id_of(name, data[1:]).hex() != key_id
    ):
        raise Unusable("--key: this is no public key; it looks like NAME+12345678+BASE64")
    return name, data[1:]


def read_checkpoint(note, keys, error):
    """Origin, size, root of a note; with keys, that one of them has signed it."""
    text, mark, below = note.rpartition("\n\n")
    text += "\n"
    lines = text.split("\n")
    if not mark or len(lines) != 4 or not below.endswith("\n"):
        raise error("the checkpoint is no signed note")
    origin, size, encoded = lines[:3]
    root = unbase64(encoded)
    if not size.isdigit() or not size.isascii() or str(int(size[:20])) != size or int(size) > INTEGER_MAX:
        raise error("the checkpoint's second line is no size")
    if not origin or root is None or len(root) != 32:
        raise error("the checkpoint has no origin, or no root")
    is_known = False
    for line in below[:-1].split("\n"):
        name, _, encoded = line[2:].partition(" ")
        data = unbase64(encoded)
        if line[:2] != "\N{EM DASH} " or not name or data is None or len(data) < 5:
            raise error("a line below the checkpoint is no signature")
        for known, key in keys:
            if known == name and key_id_of(name, key) == data[:4]:
                if not is_signed(key, text.encode(), data[4:]):
                    raise error(f"the signature of {name} is not of this checkpoint")
                is_known = True
    if keys and not is_known:
        raise error("the checkpoint is not signed by a key that was given")
    return origin, int(size), root


# ---- the file ------------------------------------------------------------------------------------------------

KEYS = {
    "export": {"run": str, "v": int},
    "checkpoint": {"note": str},
    "consistency": {"proof": list, "size": int},
    "leaf": {"content": str, "index": int, "proof": list},
    "program": {"content": str},
    "block": {"content": str},
    "entry": {"content": str},
    "payload": {"content": str, "salt": str},
}
ORDERED = ("export", "checkpoint", "consistency", "leaf", "program", "block", "entry")
ONCE = ("export", "checkpoint", "program")


def lines_of(file):
    """Kind and content of each line; each in its place."""
    number, before = 0, -1
    while True:
        raw = file.readline(LINE_SIZE_MAX + 1)
        if not raw:
            return
        number += 1
        what = f"line {number}"
        try:
            if not raw.endswith(b"\n"):
                raise Tampered(f"{what}: it does not end")
            line = canonical(raw[:-1], what)
            kind = line.pop("kind", None) if isinstance(line, dict) else None
            wanted = KEYS.get(kind) if isinstance(kind, str) else None
            if wanted is None or line.keys() != wanted.keys():
                raise Tampered(f"{what}: it is of no known kind, or its keys are others")
            if any(type(line[key]) is not of for key, of in wanted.items()):
                raise Tampered(f"{what}: a value is of another type")
        except Tampered as error:
            if number == 1:
                raise Unusable(f"this is no export of a run: {error}") from error
            raise
        if number == 1 and (kind != "export" or line["v"] != 1):
            raise Unusable("this is no export of a run, or of a newer version")
        place = before if kind == "payload" else ORDERED.index(kind)
        if place < before or (place == before and kind in ONCE):
            raise Tampered(f"{what}: it stands out of order")
        if kind == "payload" and ORDERED[before] != "entry":
            raise Tampered(f"{what}: a payload stands behind its entry")
        before = place
        yield kind, line


class Export:
    """Takes the lines one after the other."""

    def __init__(self, keys, since):
        self.keys, self.since = keys, since
        self.missing = []
        self.run = self.plan = ""
        self.status = "not settled"
        self.checkpoint = None
        self.leaves = []
        self.blocks = []
        self.points_to = 1
        self.version = None
        self.count, self.hash, self.epoch = 0, "", 0
        self.wants_payload = ""
        # Of the entries since payloads were erased last: the first without its payload, and the first with it.
        self.absent = self.present = None
        self.erased = ""
        self.is_settled = False
        self.begun = set()

    def take(self, kind, line):
        try:
            getattr(self, "_" + kind)(**line)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise Tampered(f"a line '{kind}' is not what clew writes: {error!r}") from error

    def _export(self, run, v):
        self.run = run

    def _checkpoint(self, note):
        self.checkpoint = read_checkpoint(note, self.keys, Tampered)
        if not self.keys:
            self.missing.append("no key was given (--key): whoever made the file may have made all of it up")

    def _consistency(self, proof, size):
        origin, now, root = self._tree()
        earlier = self.since.pop(size, None)
        if earlier is None:
            return
        if earlier[0] != origin or not 0 < size <= now:
            raise Tampered("the tree does not go on from the checkpoint that was kept")
        found = roots_by_consistency(size, now, [unhex(each) for each in proof], earlier[1])
        if found != (earlier[1], root):
            raise Tampered("the tree does not go on from the checkpoint that was kept: it was rewritten")

    def _leaf(self, content, index, proof):
        _, size, root = self._tree()
        raw = content.encode("utf-8")
        leaf = canonical(raw, "a leaf")
        types = {"entries": int, "head": str, "kind": str, "run": str, "v": int}
        if not isinstance(leaf, dict) or {key: type(value) for key, value in leaf.items()} != types:
            raise Tampered("a leaf has other keys")
        if leaf["run"] != self.run or leaf["v"] != 1:
            raise Tampered("a leaf is of another run")
        if leaf["kind"] != ("close" if self.leaves else "open"):
            raise Tampered("the run's leaves are not its beginning and then its ends")
        if self.leaves and leaf["entries"] < self.leaves[-1]["entries"]:
            raise Tampered("the run's leaves are out of order")
        found = hashlib.sha256(b"\x00" + raw).digest()
        if root_by_inclusion(found, index, size, [unhex(each) for each in proof]) != root:
            raise Tampered(f"the leaf {index} is not in the tree of the checkpoint")
        self.leaves.append(leaf)

    def _tree(self):
        if self.checkpoint is None:
            raise Tampered("the checkpoint is missing")
        return self.checkpoint

    def _program(self, content):
        if not self.leaves:
            raise Tampered("the leaf of the run's beginning is missing")
        self.version = tagged(b"clew/program/v1\n", content.encode("utf-8"))
        self.plan = tagged(b"clew/plan/v1\n", self.version.encode())

    def _block(self, content):
        if self.version is None:
            raise Tampered("the program is missing")
        raw, index = content.encode("utf-8"), len(self.blocks) + 1
        try:
            block = json.loads(content, object_pairs_hook=_object)
        except (ValueError, RecursionError) as error:
            raise Tampered(f"plan block {index}: {error}") from error
        wanted = {"index": index, "prev": self.plan, "version": self.version}
        if self.points_to != index or any(block.get(key) != value for key, value in wanted.items()):
            raise Tampered(f"plan block {index}: it does not link to the one before")
        self.points_to = block.get("next")
        self.plan = tagged(b"clew/block/v1\n", raw)
        self.blocks.append(self.plan)

    def _entry(self, content):
        self._see_payload_was_there()
        if not self.blocks or self.points_to is not None:
            raise Tampered(f"plan block {len(self.blocks) + 1}: it is missing")
        raw, seq = content.encode("utf-8"), self.count
        entry = canonical(raw, f"entry {seq}")
        body = entry.get("body") if isinstance(entry, dict) else None
        if not isinstance(body, dict) or entry.get("v") != 1:
            raise Tampered(f"entry {seq}: it is no entry")
        kind = body.get("kind")
        if (kind == "run_created") != (seq == 0):
            raise Tampered(f"entry {seq}: a journal begins with run_created, and has one")
        if seq == 0 and (body.get("plan") != self.blocks[-1] or body.get("version") != self.version):
            raise Tampered("entry 0: it links to another plan, or another program")
        previous = self.hash or self.blocks[-1]
        if entry.get("run") != self.run or entry.get("seq") != seq or entry.get("prev") != previous:
            raise Tampered(f"entry {seq}: it does not link to the entry before")
        if entry.get("block", self.blocks[0]) not in self.blocks:
            raise Tampered(f"entry {seq}: it names a block that the plan does not have")
        if entry.get("epoch", 0) < self.epoch:
            raise Tampered(f"entry {seq}: it was written under an epoch that had been taken over")
        self.epoch = entry.get("epoch", 0)
        self._see_cause(seq, kind, body)
        self.see_erasure(seq, entry)
        self.hash = tagged(b"clew/entry/v1\n", raw)
        self.count += 1
        for leaf in self.leaves:
            if leaf["entries"] == self.count and leaf["head"] != self.hash:
                raise Tampered(f"entry {seq}: by the tree, the journal up to here was another")
        self.wants_payload = entry.get("payload", "")
        self.status = body["status"] if kind == "run_settled" else self.status

    def see_erasure(self, seq, entry):
        """What was erased is not there; and only of a run that had settled could anything be."""
        body = entry["body"]
        kind = body["kind"]
        if kind in ("run_settled", "rollback_requested", "rewind_requested"):
            self.is_settled = kind == "run_settled"
        if kind == "payloads_erased":
            if not self.is_settled:
                raise Tampered(f"entry {seq}: payloads were erased before the run had settled")
            if self.present is not None:
                raise Tampered(
                    f"entry {self.present}: its payload was erased by entry {seq}, and stands there again"
                )
            self.absent = None
            self.erased = (
                f"; the payloads before entry {seq} were erased by {body['by']!r} at {moment(entry['at'])}"
            )

    def _see_cause(self, seq, kind, body):
        """Nothing ends that was not begun."""
        what = (str(kind).partition("_")[0], body.get("stage"), body.get("attempt"))
        if kind in ("attempt_started", "rollback_started"):
            self.begun.add(what)
        elif kind in ("attempt_ended", "rollback_ended") and what not in self.begun:
            raise Tampered(f"entry {seq}: it ends what was never begun")

    def _payload(self, content, salt):
        wanted, self.wants_payload = self.wants_payload, ""
        found = tagged(b"clew/payload/v1\n" + unhex(salt, SALT_SIZE), content.encode("utf-8"))
        if not wanted or found != wanted:
            raise Tampered(f"entry {self.count - 1}: its payload, or the salt, is not what was hashed")
        if self.present is None:
            self.present = self.count - 1

    def _see_payload_was_there(self):
        if self.wants_payload and self.absent is None:
            self.absent = self.count - 1
        self.wants_payload = ""

    def end(self):
        self._see_payload_was_there()
        if not self.count:
            raise Tampered("the journal is missing")
        if self.absent is not None:
            self.missing.append(f"entry {self.absent}: the payload that it names is missing")
        covered = max(leaf["entries"] for leaf in self.leaves)
        if covered > self.count:
            raise Tampered(f"entry {self.count}: the tree has {covered} entries: the end was cut off")
        if covered < self.count:
            self.missing.append(f"entry {covered}: it and what follows are not in the tree yet")
        for size in self.since:
            self.missing.append(f"the file does not prove that its tree goes on from that of {size} leaves")


def moment(milliseconds):
    """As a person writes it, in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(milliseconds // 1000))


def say(text):
    sys.stdout.write(text + "\n")


def main(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file")
    parser.add_argument(
        "--key", action="append", default=[], help="public key of who signs, or a file with it"
    )
    parser.add_argument("--since", action="append", default=[], help="file of a checkpoint that was kept")
    given = parser.parse_args(arguments)
    try:
        keys = [read_key(word) for word in given.key]
        since = {}
        for path in given.since:
            with open(path, encoding="utf-8", newline="") as file:
                origin, size, root = read_checkpoint(file.read(20_000), (), Unusable)
            since[size] = (origin, root)
        export = Export(keys, since)
        with open(given.file, "rb") as file:
            for kind, line in lines_of(file):
                export.take(kind, line)
            if not export.run:
                raise Unusable("this is no export of a run: it is empty")
            export.end()
    except (Unusable, OSError, UnicodeDecodeError) as error:
        say(f"unusable: {error}")
        return 2
    except Tampered as error:
        say(f"tampered: {error}")
        return 1
    for what in export.missing:
        say(f"incomplete: {what}")
    if export.missing:
        return 3
    say(
        f"sound: run {export.run}, {export.status}, {export.count} entries, head {export.hash}{export.erased}"
    )
    say(
        "not proved: that the world did what a stage said it did; what became of the run since the checkpoint"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
