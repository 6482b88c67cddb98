"""Tries of one request: what may pass is tried again, with growing, jittered pauses, until a deadline."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    SSLError,
)
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from clew.ports import BucketError

Given = TypeVar("Given")


class Patience(NamedTuple):
    """How long tries go on: none begins later than `seconds` after the first that failed. Whoever asked has a longer
    patience of its own, and holds nothing meanwhile; so this covers a store's hiccup and no more.

    Before the second try there is a pause of up to `first_pause_seconds`, before each next of up to twice as long."""

    seconds: float = 30
    first_pause_seconds: float = 0.2
    pause_seconds_max: float = 5


class Misbehaved(Exception):
    """The store answered, and its answer can't be true."""


TROUBLE = (ClientError, BotoCoreError, ResponseParserError, HTTPError, Misbehaved)
"""All that asking a store raises."""

_PASSING = (
    # Every kind of lost, refused or timed-out connection.
    HTTPClientError,
    ConnectionError,
    FlexibleChecksumError,
    IncompleteReadError,
    ResponseParserError,
    HTTPError,
    Misbehaved,
)

_PASSING_CODES = frozenset(
    {
        "BandwidthLimitExceeded",
        "ConditionalRequestConflict",
        "InternalError",
        "OperationAborted",
        "RequestLimitExceeded",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_PASSING_STATUSES = frozenset({408, 425, 429})


class Tries:
    """Counts the tries of something; `what` is what an error says of it."""

    def __init__(self, patience: Patience, what: str) -> None:
        self._patience = patience
        self._what = what
        self._count = 0
        self._until = 0.0

    def succeeded(self) -> None:
        """What fails later is another failure, with all the patience."""
        self._count = 0

    def pause_after(self, error: Exception) -> None:
        """Wait before the next try. Raises BucketError, saying why, when there is to be none."""
        if self._count == 0:
            self._until = time.monotonic() + self._patience.seconds
        self._count += 1
        pause = self._pause()
        if not _may_pass(error):
            raise BucketError(f"{self._what}: {told(error)}") from error
        if time.monotonic() + pause >= self._until:
            tries = "once" if self._count == 1 else f"{self._count} times"
            raise BucketError(f"{self._what}: {told(error)} (tried {tries})") from error
        time.sleep(pause)

    def _pause(self) -> float:
        longest = self._patience.first_pause_seconds * 2 ** min(self._count - 1, 30)
        return random.uniform(0, min(longest, self._patience.pause_seconds_max))


def persistently(act: Callable[[], Given], tries: Tries) -> Given:
    """What `act` gives, tried again while its errors may pass. Raises BucketError, or what is not of a store."""
    while True:
        try:
            return act()
        except TROUBLE as error:
            tries.pause_after(error)


def code_of(error: Exception) -> str:
    """What the store calls the error; empty if it isn't the store's."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def status_of(error: Exception) -> int:
    """The HTTP status of the answer; 0 if there was none."""
    if not isinstance(error, ClientError):
        return 0
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _may_pass(error: Exception) -> bool:
    if isinstance(error, ClientError):
        status = status_of(error)
        return status >= 500 or status in _PASSING_STATUSES or code_of(error) in _PASSING_CODES
    return isinstance(error, _PASSING) and not isinstance(error, SSLError)


def told(error: Exception) -> str:
    """The error in a sentence for people."""
    if not isinstance(error, ClientError):
        return str(error) or type(error).__name__
    said = error.response.get("Error", {})
    code, message = str(said.get("Code", "")), str(said.get("Message", ""))
    if status_of(error) == 403:
        message = f"{message}; the credentials in use may not do this" if message else "not allowed"
    return ": ".join(part for part in (code, message) if part) or f"status {status_of(error)}"
