"""Clients of S3, made once for each store: making one reads the AWS settings and finds the credentials."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, NamedTuple

from botocore.config import Config
from botocore.exceptions import BotoCoreError
from botocore.loaders import create_loader
from botocore.session import Session
from botocore.utils import parse_timestamp

from clew.buckets.environment import bucket_environment
from clew.core.planning.s3_urls import S3Options
from clew.ports import BucketError

CONNECT_SECONDS_MAX = 10
ANSWER_SECONDS_MAX = 30
"""How long a store may be silent. One that copies or puts together an object says meanwhile that it is at it."""

CONNECTIONS_MAX = 32
"""Kept open to one store: as many as threads ask at a time, or nearly."""


_DESCRIPTIONS = create_loader()
"""What botocore reads of S3 to make a client, 50 ms of it: once for all clients, and for the forks of a process."""
for _name in ("service-2", "endpoint-rule-set-1"):
    _DESCRIPTIONS.load_service_model("s3", _name)
for _name in ("endpoints", "partitions", "sdk-default-configuration"):
    _DESCRIPTIONS.load_data(_name)


class _Which(NamedTuple):
    # A fork has connections that are its parent's: it makes its own client, and leaves the other alone.
    process: int
    options: S3Options
    environment: frozenset[tuple[str, str]]


_clients: dict[_Which, Any] = {}
_making = threading.Lock()


def client_of(options: S3Options, environment: Mapping[str, str] | None) -> Any:
    """The client of that store, for any number of threads. `environment` stands in for the process' own, which
    is used where that is None. Raises BucketError."""
    kept = bucket_environment(os.environ if environment is None else environment)
    which = _Which(os.getpid(), options, frozenset(kept.items()))
    with _making:
        if which not in _clients:
            with _seen_as_environment(None if environment is None else kept):
                _clients[which] = _new_client(options)
        return _clients[which]


def _new_client(options: S3Options) -> Any:
    try:
        session = Session(profile=options.profile or None)
        session.register_component("data_loader", _DESCRIPTIONS)
        session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=moment_of)
        region = options.region or session.get_config_variable("region")
        return session.create_client(
            "s3",
            # Stores other than AWS have no regions; the signature still needs a name for one.
            region_name=region or "us-east-1",
            endpoint_url=options.endpoint or None,
            config=Config(
                connect_timeout=CONNECT_SECONDS_MAX,
                read_timeout=ANSWER_SECONDS_MAX,
                max_pool_connections=CONNECTIONS_MAX,
                # Here it would know neither of a deadline nor of answers that can't be true: see `trying`.
                retries={"mode": "standard", "total_max_attempts": 1},
            ),
        )
    except (BotoCoreError, ValueError) as error:
        raise BucketError(f"s3: {error}") from error


def moment_of(text: str | float) -> datetime:
    """The moment that S3 has written so. Raises ValueError.

    In lists it is ISO 8601. botocore reads all that people write, and takes for it more than half of a list's time.
    """
    if isinstance(text, str) and text.endswith("Z"):
        with suppress(ValueError):
            return datetime.fromisoformat(text)
    moment: datetime = parse_timestamp(text)
    return moment


@contextmanager
def _seen_as_environment(environment: dict[str, str] | None) -> Iterator[None]:
    """Have Python's code see that environment; the system, and so any process that is started, does not.

    botocore can't be given an environment: a dozen of its parts look up `os.environ`. In an attempt that holds
    what the stage may see, and credentials are not of that.
    """
    if environment is None:
        yield
        return
    own = os.environ
    os.environ = environment  # type: ignore[assignment]  # noqa: B003
    try:
        yield
    finally:
        os.environ = own  # noqa: B003
