"""Buckets in this process' memory, for tests and programs that run inline: another process sees nothing."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterable, Iterator

from clew.buckets.keys import check_folder, check_key
from clew.ports import BucketError, ObjectFacts

_opened: dict[str, MemoryBucket] = {}
_opening = threading.Lock()


def memory_bucket(url: str) -> MemoryBucket:
    """The bucket of a URL such as `memory:` or `memory:name`: the same one each time in this process."""
    with _opening:
        return _opened.setdefault(url, MemoryBucket(url))


class MemoryBucket:
    """A `ports.Bucket` over a dictionary."""

    def __init__(self, url: str = "memory:") -> None:
        self._url = url
        self._objects: dict[str, tuple[ObjectFacts, bytes]] = {}
        self._changing = threading.Lock()

    @property
    def url(self) -> str:
        return self._url

    def list_folder(self, folder: str, start: str = "") -> Iterator[ObjectFacts | str]:
        check_folder(folder)
        with self._changing:
            known = {key: facts for key, (facts, _) in self._objects.items()}
        below = [key for key in known if key.startswith(folder + start)]
        direct = {_direct(key, folder) for key in below}
        return iter([known.get(key, key) for key in sorted(direct)])

    def facts(self, key: str) -> ObjectFacts | None:
        check_key(key)
        found = self._objects.get(key)
        return found[0] if found else None

    def read(self, key: str, size_max: int) -> bytes:
        content = self._content(key)
        if len(content) > size_max:
            raise BucketError(f"'{key}' has {len(content)} bytes; {size_max} is the most that is read here")
        return content

    def read_pieces(self, key: str) -> Iterator[bytes]:
        yield self._content(key)

    def _content(self, key: str) -> bytes:
        check_key(key)
        found = self._objects.get(key)
        if found is None:
            raise FileNotFoundError(f"{self._url}: there is no '{key}'")
        return found[1]

    def write(self, key: str, content: bytes) -> ObjectFacts:
        check_key(key)
        digest = hashlib.sha256(content).hexdigest()
        facts = ObjectFacts(key, len(content), digest, time.time_ns() // 1_000_000)
        with self._changing:
            self._objects[key] = (facts, bytes(content))
        return facts

    def write_pieces(self, key: str, pieces: Iterable[bytes]) -> ObjectFacts:
        check_key(key)
        return self.write(key, b"".join(pieces))

    def copy(self, key: str, target: str) -> ObjectFacts:
        return self.write(target, self._content(key))

    def delete(self, key: str) -> bool:
        check_key(key)
        with self._changing:
            return self._objects.pop(key, None) is not None


def _direct(key: str, folder: str) -> str:
    """What of the key lies directly in the folder: itself, or the key of a folder."""
    name, slash, _ = key[len(folder) :].partition("/")
    return f"{folder}{name}{slash}"
