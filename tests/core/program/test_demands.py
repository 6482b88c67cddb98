"""Sizes and addresses as people write them; every mistake in them is told before anything runs."""

from __future__ import annotations

from typing import Any

import pytest

from clew.core.program.demands import demand_problems, read_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (1_000, 1_000),
        ("1 B", 1),
        ("7b", 7),
        ("500 MB", 500_000_000),
        ("4 GiB", 4 * 1024**3),
        ("1.5 kB", 1_500),
        ("2TiB", 2 * 1024**4),
        ("1 PB", 10**15),
    ],
)
def test_a_size_is_a_number_of_bytes(text: Any, size: int) -> None:
    """With the units that people write, decimal and binary ones told apart."""
    assert read_size(text) == size


@pytest.mark.parametrize("value", ["4", "4 G", "-1 GB", "", "1 GB 2 MB", True, 0, -5, None, 1.5, []])
def test_what_is_no_size_says_what_would_be_right(value: Any) -> None:
    """A number without a unit in a text may mean anything."""
    with pytest.raises(ValueError, match="is no size; write it as '500 MB' or '4 GiB'"):
        read_size(value)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("resource_available", {"cores": 0.5, "memory": "4 GiB", "disk": 100, "folder": "/data"}),
        ("resource_available", {"cores": "{n}", "memory": "{size}"}),
        ("infrastructure", {"url": "https://ledger.example/health", "timeout": "1 minute"}),
        ("infrastructure", {"url": "{base}/health"}),
        ("infrastructure", {"host": "::1", "port": 5432}),
        ("infrastructure", {"host": "{host}", "port": "{port}", "timeout": "{t}"}),
        ("file_exists", {"cores": -1}),
    ],
)
def test_what_can_be_asked_for_is_no_problem(name: str, params: dict[str, Any]) -> None:
    """References are checked when they have been filled in; other names are not of this page."""
    assert list(demand_problems(name, params)) == []


@pytest.mark.parametrize(
    ("name", "params", "where", "what"),
    [
        ("resource_available", {}, (), "nothing is asked for"),
        ("resource_available", {"cores": 0}, ("cores",), "0 is no number of cores"),
        ("resource_available", {"cores": True}, ("cores",), "true is no number of cores"),
        ("resource_available", {"cores": "two"}, ("cores",), "'two' is no number of cores"),
        ("resource_available", {"memory": "4"}, ("memory",), "'4' is no size"),
        ("resource_available", {"disk": 1, "folder": 3}, ("folder",), "this is a text, not 3"),
        ("infrastructure", {}, (), "there is no address"),
        ("infrastructure", {"url": "http://a", "host": "b", "port": 1}, (), "both url and host are given"),
        ("infrastructure", {"host": "b"}, (), "host and port go together"),
        ("infrastructure", {"url": "http://a", "port": 1}, (), "host and port go together"),
        ("infrastructure", {"url": "ftp://a"}, ("url",), "'ftp://a' is no address"),
        ("infrastructure", {"url": "http://["}, ("url",), "'http://[' is no address"),
        ("infrastructure", {"url": 3}, ("url",), "3 is no address"),
        ("infrastructure", {"host": "secret:HOST", "port": 1}, ("host",), "this is a text, not"),
        ("infrastructure", {"host": "b", "port": 0}, ("port",), "0 is no port"),
        ("infrastructure", {"host": "b", "port": "x"}, ("port",), "'x' is no port"),
        ("infrastructure", {"url": "http://a", "timeout": 5}, ("timeout",), "5 has no unit"),
        ("infrastructure", {"url": "http://a", "timeout": "1 h"}, ("timeout",), "'1 h' is out of bounds"),
    ],
)
def test_a_demand_that_makes_no_sense_is_told(
    name: str, params: dict[str, Any], where: tuple[str, ...], what: str
) -> None:
    """Each with the param that it is about."""
    ((its_place, said, _),) = demand_problems(name, params)
    assert (its_place, said[: len(what)]) == (where, what)
