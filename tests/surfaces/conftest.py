"""A person for each test, in a folder of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.surfaces.calling import Person


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person(tmp_path)
