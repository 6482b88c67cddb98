"""What could not be done, as `application/problem+json` (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import msgspec

MEDIA_TYPE = "application/problem+json"


class ProblemDocument(msgspec.Struct, omit_defaults=True):
    """What an answer says that is none of what was asked for."""

    type: str
    """Which sort of problem it is: `urn:clew:problem:SORT`."""
    title: str
    status: int
    detail: str = ""
    """What is wrong here, and what would be right."""
    instance: str = ""
    """Of an error on this side: by which the log tells more of it."""


class Problem(Exception):
    """The call can't be answered as was asked. `sort`: a short name that stays the same, for programs."""

    def __init__(
        self, status: int, sort: str, detail: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail or sort)
        self.status = status
        self.sort = sort
        self.detail = detail
        self.headers = dict(headers or {})

    def document(self, instance: str = "") -> ProblemDocument:
        """The same, as it is answered."""
        title = HTTPStatus(self.status).phrase
        return ProblemDocument(f"urn:clew:problem:{self.sort}", title, self.status, self.detail, instance)


def not_found(what: str) -> Problem:
    return Problem(404, "not-found", what)


def bad_request(what: str) -> Problem:
    return Problem(400, "bad-request", what)
