"""What holds for all tests: hypothesis asserts nothing about time, since machines may be busy. And the object stores,
which are started for those that ask for them, once in a process."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("clew", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("clew")


@pytest.fixture(scope="session")
def moto(tmp_path_factory):
    """moto's server for S3, an `ObjectStore`."""
    from tests.object_stores.moto import moto_server

    with moto_server(tmp_path_factory.mktemp("moto")) as store:
        yield store


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory):
    """SeaweedFS, an `ObjectStore`."""
    from tests.object_stores.seaweed import seaweed_server

    with seaweed_server(tmp_path_factory.mktemp("seaweed")) as store:
        yield store


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server, a `PostgresServer`; each test takes a database of its own."""
    from tests.databases.postgres import postgres_server

    with postgres_server() as server:
        yield server
