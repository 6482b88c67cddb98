"""Endpoints as they are declared: what they take and give, who may call them; and a call of one.

Everything that there is to know of an endpoint stands in its declaration: what is checked before it is called, and what
OpenAPI says of it, are the same.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from clew.ports import ROLES

if TYPE_CHECKING:
    from clew.api.access import AccessKeeper
    from clew.api.limits import Limits, Places
    from clew.api.security_log import SecurityLog
    from clew.desk import Desk
    from clew.measuring import Measures
    from clew.settings import Settings
    from clew.wiring.reading import RecordsReader

VIEWER, OPERATOR, ADMIN = ROLES

LOCAL = "local"


class Caller(NamedTuple):
    """Who calls. `by`: as journals name them; `token_id`: by which token, empty for whoever sits at this machine."""

    by: str
    role: str
    token_id: str = ""

    def may(self, role: str) -> bool:
        """Whether they may do what that role may."""
        return ROLES.index(self.role) >= ROLES.index(role)


class NoQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Nothing may stand behind the path."""


class House(NamedTuple):
    """What endpoints are answered from."""

    settings: Settings
    limits: Limits
    reader: RecordsReader
    desk: Desk
    access: AccessKeeper
    waiting: Places
    """For those who wait for a run, or follow one."""
    measures: Measures
    security_log: SecurityLog
    is_ready: Callable[[], bool]
    """Whether the programs' places were read, and the store can be written."""
    ends: Callable[[], bool]
    """Whether this process is to end: then streams do."""


class Call(NamedTuple):
    """One call of an endpoint. All that it says was checked against the endpoint's declaration."""

    house: House
    caller: Caller
    path: Mapping[str, str]
    query: Any
    body: Any
    headers: Mapping[str, str]


class Answer(NamedTuple):
    """What an endpoint answers, if it is more than its document. `stream`: the body in pieces; `content`: the body as
    it is; without either, `document` is encoded."""

    document: Any = None
    status: int | None = None
    headers: Mapping[str, str] = {}
    stream: AsyncIterator[bytes] | None = None
    content: bytes | None = None


Handle = Callable[[Call], Awaitable[Any]]
H = TypeVar("H", bound=Handle)


class Endpoint(NamedTuple):
    """What can be called. `role`: the least that may; `answer`: what is given, a type; `media`: of which sort that is;
    `statuses`: by which it may be given, the usual one first; `problems`: what else may come of it, besides what may
    come of all."""

    method: str
    path: str
    role: str
    about: str
    handle: Handle
    query: type[Any]
    body: type[Any] | None
    answer: Any
    media: str
    statuses: tuple[int, ...]
    problems: tuple[int, ...]
    takes_key: bool
    example: Any
    name: str
    """By which programs that are made of the description call it."""


class Endpoints:
    """Those of one resource, in the order in which they are declared."""

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self.all: list[Endpoint] = []

    def add(
        self,
        method: str,
        path: str,
        *,
        role: str,
        about: str,
        answer: Any = None,
        query: type[Any] = NoQuery,
        body: type[Any] | None = None,
        media: str = "application/json",
        statuses: tuple[int, ...] = (200,),
        problems: tuple[int, ...] = (),
        takes_key: bool = False,
        example: Any = None,
        name: str = "",
    ) -> Callable[[H], H]:
        """Declares the function beneath as the endpoint's."""

        def declared(handle: H) -> H:
            self.all.append(
                Endpoint(
                    method, path, role, about, handle, query, body, answer, media, statuses, problems, takes_key,
                    example, name or handle.__name__,
                )
            )  # fmt: skip
            return handle

        return declared
