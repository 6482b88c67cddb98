"""The line sources are real readings, laid out by month, and each month adds up to the totals beside it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path
from types import ModuleType

import pytest
from tests.examples.loading import load_example


@pytest.fixture(scope="module")
def prepare() -> ModuleType:
    return load_example("line-sources", "prepare")


@pytest.fixture(scope="module")
def batches() -> ModuleType:
    return load_example("line-sources", "batches")


def located(path: Path) -> dict[str, str]:
    return {"url": path.as_uri()}


def test_each_month_adds_up(prepare: ModuleType, batches: ModuleType, tmp_path: Path) -> None:
    """Every file that is laid out has as many days as its month, and the sums that its totals say."""
    prepare.prepare(tmp_path)
    files = sorted((tmp_path / "lines/tx/daily/z").glob("batch_2024*.csv"))
    assert [file.stem for file in files] == [f"batch_2024{month:02}01" for month in range(1, 7)]
    read = [batches.read_batch(located(file), located(file.with_suffix(".totals.json"))) for file in files]
    assert [one["totals"]["days"] for one in read] == [31, 29, 31, 30, 31, 30]
    for one in read:
        assert len(one["days"]) == one["totals"]["days"]
        for name in ("x", "y"):
            assert sum(day[name] for day in one["days"]) == one["totals"][f"{name}_sum"]


def test_readings_are_those_of_the_source(prepare: ModuleType, batches: ModuleType, tmp_path: Path) -> None:
    """A published value of the source comes out as it went in, in whole units."""
    prepare.prepare(tmp_path, first=date(2024, 6, 1), batches=1)
    file = tmp_path / "lines/tx/daily/z/batch_20240601.csv"
    first = batches.read_batch(located(file), located(file.with_suffix(".totals.json")))["days"][0]
    assert first == {"day": "2024-06-01", "mark": "measured", "x": 33907, "y": 450730, "ut1_behind": 204404}


def test_the_warehouse_is_empty_and_stays(prepare: ModuleType, tmp_path: Path) -> None:
    """Preparing makes the warehouse's tables; preparing again keeps what has been loaded."""
    prepare.prepare(tmp_path, batches=1)
    with closing(sqlite3.connect(tmp_path / "warehouse.db")) as warehouse, warehouse:
        assert warehouse.execute("SELECT count(*) FROM readings").fetchone() == (0,)
        warehouse.execute("INSERT INTO readings VALUES ('run', '2024-01-01', 'measured', 1, 2, 3)")
    prepare.prepare(tmp_path, batches=1)
    with closing(sqlite3.connect(tmp_path / "warehouse.db")) as warehouse:
        assert warehouse.execute("SELECT count(*) FROM readings").fetchone() == (1,)


def test_a_month_to_come_is_refused(prepare: ModuleType, tmp_path: Path) -> None:
    """A month that the data does not reach is an error that names it."""
    with pytest.raises(ValueError, match="no readings of January 2999"):
        prepare.prepare(tmp_path, first=date(2999, 1, 1))


@pytest.mark.parametrize("how", ["truncated", "altered"])
def test_corruption_shows_in_the_sums(
    prepare: ModuleType, batches: ModuleType, tmp_path: Path, how: str
) -> None:
    """A corrupt file is still a readable one: only its totals give it away."""
    prepare.prepare(tmp_path)
    newest = prepare.corrupt(tmp_path, how)
    assert newest.name == "batch_20240601.csv"
    read = batches.read_batch(located(newest), located(newest.with_suffix(".totals.json")))
    assert sum(day["x"] for day in read["days"]) != read["totals"]["x_sum"]
    assert (len(read["days"]) == read["totals"]["days"]) == (how == "altered")


def test_totals_that_are_something_else_are_refused(
    prepare: ModuleType, batches: ModuleType, tmp_path: Path
) -> None:
    """Totals with other names than the known ones are an error that says both."""
    prepare.prepare(tmp_path, batches=1)
    file = tmp_path / "lines/tx/daily/z/batch_20240101.csv"
    totals = file.with_suffix(".totals.json")
    totals.write_text(json.dumps({"days": 31}))
    with pytest.raises(ValueError, match=r"should be .*x_sum.* and are \['days'\]"):
        batches.read_batch(located(file), located(totals))
