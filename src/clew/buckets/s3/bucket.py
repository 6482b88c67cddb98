"""A bucket in S3: a key is an object's whole name, whatever is in it; folders are what keys have before a `/`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from itertools import chain
from typing import Any

from clew.buckets.keys import check_folder, check_key
from clew.buckets.s3.listing import Listed, facts_of, first_key, list_all
from clew.buckets.s3.trying import (
    TROUBLE,
    Given,
    Misbehaved,
    Patience,
    Tries,
    code_of,
    persistently,
    status_of,
    told,
)
from clew.core.planning.s3_urls import S3Place
from clew.ports import BucketError, ObjectFacts

PART_SIZE = 8 * 1024 * 1024
"""Bytes of a part that is written: more than the 5 MiB that S3 wants at least, and little for memory."""

PARTS_MAX = 10_000
PARTS_BEFORE_GROWTH = 1_000
"""After each so many parts, parts are larger by the size above. So nobody has to say beforehand how large the object
will be, the parts that S3 takes make 430 GiB, and the largest has 80 MiB."""

COPY_PART_SIZE = 512 * 1024 * 1024
"""Bytes that are copied within the store by one request; S3 takes up to 5 GB. So that it answers in time."""

PIECE_SIZE = 1024 * 1024
"""Bytes read at a time."""

PAGE_SIZE = 1_000

_OTHERWISE_A_PATH = re.compile(r"//|\\|/\.\.?/|/\.\.?$")
"""What of a key, behind a `/`, a store that keeps files may leave out or change."""


class S3Bucket:
    """A `ports.Bucket` over a client of S3. Safe in any number of threads."""

    def __init__(self, client: Any, place: S3Place, patience: Patience | None = None) -> None:
        self._client = client
        self._name = place.bucket
        self._root = place.prefix
        self._url = place.url
        self._patience = patience or Patience()
        self._is_there = False

    @property
    def url(self) -> str:
        return self._url

    # ---- reading ----

    def list_folder(self, folder: str, start: str = "") -> Iterator[ObjectFacts | str]:
        check_folder(self._root + folder)
        listed = list_all(
            partial(self._page, f"{self._root}{folder}{start}"),
            self._root + folder,
            start,
            self._patience,
            f"{self._url}: listing '{folder}{start}'",
        )
        return map(self._outside, listed) if self._root else listed

    def _page(self, prefix: str, cursor: Mapping[str, str]) -> Any:
        page = self._client.list_objects_v2(
            Bucket=self._name,
            Prefix=prefix,
            Delimiter="/",
            MaxKeys=PAGE_SIZE,
            EncodingType="url",  # XML has no form for some of the characters that keys may have
            **cursor,
        )
        self._is_there = True
        return page

    def _outside(self, found: Listed) -> Listed:
        """With the key as it is below the root."""
        size = len(self._root)
        return found[size:] if isinstance(found, str) else _with_key(found, found.key[size:])

    def facts(self, key: str) -> ObjectFacts | None:
        check_key(self._root + key)
        return self._try(key, partial(self._head, key))

    def _head(self, key: str) -> ObjectFacts | None:
        try:
            head = self._client.head_object(**self._object(key))
        except TROUBLE as error:
            if status_of(error) != 404:
                raise
            self._make_sure_of_the_bucket()
            return None
        if not self._is_kept(key):
            return None
        return facts_of(key, head, size=head.get("ContentLength"))

    def _is_kept(self, key: str) -> bool:
        """False if the store, going by paths, took the key for another's. Only lists say which keys there are; and of
        a store that shows the key as it was asked for, that of its beginning."""
        whole = self._root + key
        trap = _OTHERWISE_A_PATH.search(f"/{whole}")
        if trap is None:
            return True
        for beginning in (whole[: trap.end() - 1], whole):
            page = self._client.list_objects_v2(
                Bucket=self._name, Prefix=beginning, MaxKeys=1, EncodingType="url"
            )
            first = first_key(page)
            if first is None or not first.startswith(beginning):
                return False
        return first == whole

    def _make_sure_of_the_bucket(self) -> None:
        """A HEAD says 404, and no more, if the bucket itself is not there, which is no answer about the object."""
        if not self._is_there:
            try:
                self._client.head_bucket(Bucket=self._name)
            except TROUBLE as error:
                if status_of(error) == 404:
                    raise BucketError(f"{self._url}: there is no such bucket") from error
                raise
            self._is_there = True

    def read(self, key: str, size_max: int) -> bytes:
        check_key(self._root + key)
        return self._try(key, partial(self._read, key, size_max))

    def _read(self, key: str, size_max: int) -> bytes:
        answer = self._get(key)
        with closing(answer["Body"]) as body:
            size = answer["ContentLength"]
            if size > size_max:
                raise BucketError(f"'{key}' has {size} bytes; {size_max} is the most that is read here")
            content = bytes(body.read())
        if len(content) != size:
            raise Misbehaved(f"of {size} bytes it sent {len(content)}")
        return content

    def read_pieces(self, key: str) -> Iterator[bytes]:
        check_key(self._root + key)
        answer = self._try(key, partial(self._get, key))
        size, etag, position = answer["ContentLength"], answer["ETag"], 0
        tries = self._tries(key)
        while True:
            try:
                with closing((answer or self._get_rest(key, position, size, etag))["Body"]) as body:
                    while piece := body.read(PIECE_SIZE):
                        position += len(piece)
                        tries.succeeded()
                        yield piece
                if position == size:
                    return
                raise Misbehaved(f"of {size} bytes it sent {position}")
            except TROUBLE as error:
                if position >= size:
                    # All has been handed on, so that nothing is left to be read better.
                    raise BucketError(f"{self._url}: '{key}': {told(error)}") from error
                tries.pause_after(error)
                answer = None

    def _get(self, key: str, **conditions: str) -> Any:
        if not self._is_kept(key):
            raise self._not_there(key)
        try:
            answer = self._client.get_object(**self._object(key), **conditions)
        except TROUBLE as error:
            if code_of(error) == "NoSuchKey":
                raise self._not_there(key) from error
            raise
        if not isinstance(answer.get("ContentLength"), int) or not answer.get("ETag"):
            answer["Body"].close()
            raise Misbehaved("it does not say how large the object is, or of which etag")
        return answer

    def _get_rest(self, key: str, position: int, size: int, etag: str) -> Any:
        """Go on with the same object behind what has come already."""
        try:
            answer = self._get(key, Range=f"bytes={position}-", IfMatch=etag)
        except FileNotFoundError as error:
            raise self._changed(key) from error
        except TROUBLE as error:
            if status_of(error) == 412:
                raise self._changed(key) from error
            raise
        if answer["ETag"] == etag and answer.get("ContentRange") == f"bytes {position}-{size - 1}/{size}":
            return answer
        answer["Body"].close()
        if answer["ETag"] != etag:
            raise self._changed(key)
        raise Misbehaved(f"asked for the rest from byte {position}, it sent something else")

    def _changed(self, key: str) -> BucketError:
        return BucketError(f"{self._url}: '{key}' was changed while it was read")

    # ---- writing ----

    def write(self, key: str, content: bytes) -> ObjectFacts:
        check_key(self._root + key)
        put = partial(self._client.put_object, **self._object(key), Body=content, ContentLength=len(content))
        answer, etag = self._try(key, lambda: _said(put(), "ETag"))
        return self._written(key, etag, len(content), answer)

    def _written(self, key: str, etag: str, size: int, answer: Any) -> ObjectFacts:
        """The facts of what was just written. In its place may be another's by now: then all but the time is ours."""
        etag = etag.strip('"')
        found = self._try(key, partial(self._head, key))
        if found is None and _OTHERWISE_A_PATH.search(f"/{self._root}{key}"):
            raise BucketError(
                f"{self._url}: '{key}': the store keeps it under another key; take a plainer one"
            )
        if found and found.etag == etag and found.size != size:
            raise BucketError(f"{self._url}: '{key}': of {size} bytes the store kept {found.size}")
        return ObjectFacts(key, size, etag, found.modified_at if found else _answered_at(answer))

    def write_pieces(self, key: str, pieces: Iterable[bytes]) -> ObjectFacts:
        check_key(self._root + key)
        parts = _in_parts(pieces)
        first = next(parts, b"")
        second = next(parts, None)
        if second is None:
            return self.write(key, first)
        return self._upload(key, self._sent(key, chain((first, second), parts)))

    def _sent(self, key: str, parts: Iterable[bytes]) -> Callable[[str], Iterator[tuple[str, int]]]:
        """What sends the parts within an upload, and gives each one's etag and size."""

        def sent(upload: str) -> Iterator[tuple[str, int]]:
            for number, part in enumerate(parts, 1):
                if number > PARTS_MAX:
                    raise BucketError(f"{self._url}: '{key}': larger than an object in S3 may be")
                send = partial(
                    self._client.upload_part,
                    **self._object(key),
                    UploadId=upload,
                    PartNumber=number,
                    Body=part,
                    ContentLength=len(part),
                )
                _, etag = self._try(key, partial(_sent_part, send))
                yield etag, len(part)

        return sent

    def _upload(self, key: str, parts_in: Callable[[str], Iterator[tuple[str, int]]]) -> ObjectFacts:
        """An object out of parts: there when all are, and not before. A killed process leaves them unseen."""
        create = partial(self._client.create_multipart_upload, **self._object(key))
        _, upload = self._try(key, lambda: _said(create(), "UploadId"))
        sent: list[tuple[str, int]] = []
        try:
            for part in parts_in(upload):
                sent.append(part)
        except BaseException:
            # Once only: what is left of it is unseen, and something waits for the error.
            with suppress(*TROUBLE):
                self._client.abort_multipart_upload(**self._object(key), UploadId=upload)
            raise
        return self._completed(key, upload, sent)

    def _completed(self, key: str, upload: str, sent: list[tuple[str, int]]) -> ObjectFacts:
        size = sum(part_size for _, part_size in sent)
        parts = [{"PartNumber": number, "ETag": etag} for number, (etag, _) in enumerate(sent, 1)]
        tries = self._tries(key)
        is_first = True
        while True:
            try:
                done = self._client.complete_multipart_upload(
                    **self._object(key), UploadId=upload, MultipartUpload={"Parts": parts}
                )
                answer, etag = _said(done, "ETag")
                break
            except TROUBLE as error:
                # The answer to the first try may have been lost, and not the try.
                if not is_first and code_of(error) == "NoSuchUpload":
                    return self._put_together(key, len(sent), size, error)
                is_first = False
                tries.pause_after(error)
        return self._written(key, etag, size, answer)

    def _put_together(self, key: str, count: int, size: int, error: Exception) -> ObjectFacts:
        """The object that an earlier try put together: S3 counts the parts in its etag."""
        found = self._try(key, partial(self._head, key))
        if found and found.size == size and found.etag.endswith(f"-{count}"):
            return found
        raise BucketError(f"{self._url}: '{key}': the store lost the parts of it") from error

    def copy(self, key: str, target: str) -> ObjectFacts:
        check_key(self._root + key)
        check_key(self._root + target)
        found = self.facts(key)
        if found is None:
            raise self._not_there(key)
        if key == target:
            return found  # S3 refuses to copy an object onto itself
        source = {
            "CopySource": {"Bucket": self._name, "Key": self._root + key},
            "CopySourceIfMatch": f'"{found.etag}"',
        }
        try:
            if found.size > COPY_PART_SIZE:
                return self._upload(target, self._copied(target, source, found.size))
            copy = partial(self._client.copy_object, **self._object(target), **source)
            answer, etag = self._try(target, lambda: _said(copy(), "CopyObjectResult", "ETag"))
        except BucketError as error:
            raise self._about_source(key, error) from error
        return self._written(target, etag, found.size, answer)

    def _copied(
        self, target: str, source: Mapping[str, Any], size: int
    ) -> Callable[[str], Iterator[tuple[str, int]]]:
        part_size = max(COPY_PART_SIZE, math.ceil(size / PARTS_MAX))

        def copied(upload: str) -> Iterator[tuple[str, int]]:
            for number, begin in enumerate(range(0, size, part_size), 1):
                end = min(begin + part_size, size)
                copy = partial(
                    self._client.upload_part_copy,
                    **self._object(target),
                    **source,
                    UploadId=upload,
                    PartNumber=number,
                    CopySourceRange=f"bytes={begin}-{end - 1}",
                )
                _, etag = self._try(target, partial(_copied_part, copy))
                yield etag, end - begin

        return copied

    def _about_source(self, key: str, error: BucketError) -> Exception:
        cause = error.__cause__
        if isinstance(cause, Exception) and code_of(cause) == "NoSuchKey":
            return self._not_there(key)
        if isinstance(cause, Exception) and status_of(cause) == 412:
            return BucketError(f"{self._url}: '{key}' was changed while it was copied")
        return error

    def delete(self, key: str) -> bool:
        if self.facts(key) is None:
            return False
        self._try(key, lambda: self._client.delete_object(**self._object(key)))
        return True

    # ---- asking ----

    def _object(self, key: str) -> dict[str, str]:
        return {"Bucket": self._name, "Key": self._root + key}

    def _try(self, key: str, act: Callable[[], Given]) -> Given:
        return persistently(act, self._tries(key))

    def _tries(self, key: str) -> Tries:
        return Tries(self._patience, f"{self._url}: '{key}'")

    def _not_there(self, key: str) -> FileNotFoundError:
        return FileNotFoundError(f"{self._url}: there is no '{key}'")


def _said(answer: Any, *names: str) -> tuple[Any, str]:
    """The answer, and what it says under these names. Raises Misbehaved if it doesn't: then somebody else answered,
    and nothing has been done."""
    found = answer
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    if not isinstance(found, str) or not found:
        raise Misbehaved("its answer does not say that it is done")
    return answer, found


def _sent_part(send: Callable[[], Any]) -> tuple[Any, str]:
    return _said(send(), "ETag")


def _copied_part(copy: Callable[[], Any]) -> tuple[Any, str]:
    return _said(copy(), "CopyPartResult", "ETag")


def _with_key(found: ObjectFacts, key: str) -> ObjectFacts:
    return ObjectFacts(key, found.size, found.etag, found.modified_at)


def _answered_at(answer: Any) -> int:
    """When the store answered, by its own clock."""
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    moment = parsedate_to_datetime(date) if date else datetime.now(UTC)
    return int(moment.timestamp()) * 1_000


def _in_parts(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in parts as S3 wants them, of which one at a time is held."""
    part, count = bytearray(), 0
    for piece in pieces:
        rest = memoryview(piece)
        while rest:
            size = PART_SIZE * (1 + count // PARTS_BEFORE_GROWTH)
            fitting = size - len(part)
            part += rest[:fitting]
            rest = rest[fitting:]
            if len(part) == size:
                yield bytes(part)
                part.clear()
                count += 1
    if part:
        yield bytes(part)
