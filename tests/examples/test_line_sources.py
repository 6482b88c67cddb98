"""The newest batch is loaded and reported, or warehouse and bucket stay exactly what they were."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.examples.loading import EXAMPLES, clew, files_in, load_example, run

PROGRAM = str(EXAMPLES / "line-sources" / "line-sources.yaml")


@pytest.fixture(scope="module")
def prepare() -> ModuleType:
    return load_example("line-sources", "prepare")


def load(folder: Path, exit_status: int = 0) -> Any:
    """Run the program over the bucket and the warehouse in that folder."""
    warehouse = f"warehouse=sqlite:///{folder / 'warehouse.db'}"
    words = (PROGRAM, "--bucket", "lines=file:lines", "--var", warehouse)
    return run(*words, folder=folder, exit_status=exit_status)


def rows_in(folder: Path) -> tuple[list[Any], list[Any]]:
    with closing(sqlite3.connect(folder / "warehouse.db")) as warehouse:
        readings = warehouse.execute("SELECT run_id, day, x FROM readings ORDER BY run_id, day").fetchall()
        return readings, warehouse.execute("SELECT * FROM months ORDER BY run_id").fetchall()


def statuses_of(done: Any) -> dict[str, str]:
    return {stage["name"]: stage["status"] for stage in done["stages"]}


def test_the_newest_batch_is_loaded_and_reported(prepare: ModuleType, tmp_path: Path) -> None:
    """Of six months and some names that come close, June is loaded, and the report says what is in it."""
    prepare.prepare(tmp_path)
    done = load(tmp_path)
    assert statuses_of(done).pop("Note predictions") == "skipped"
    assert set(statuses_of(done).values()) == {"completed", "skipped"}
    readings, months = rows_in(tmp_path)
    assert [day for _, day, _ in readings] == [str(date(2024, 6, 1) + timedelta(days=n)) for n in range(30)]
    assert [(month[0], month[1], month[2]) for month in months] == [(done["run_id"], "20240601", 30)]
    published = {Path(name).name: text for name, text in files_in(tmp_path / "lines/out").items()}
    assert set(published) == {"sources.csv", "report.csv", "_DONE"}
    least, most = min(x for *_, x in readings), max(x for *_, x in readings)
    report = published["report.csv"].decode().splitlines()
    assert report[:6] == [
        "what,value", "region,east", "batch,20240601", "days,30", f"pole x from,{least}", f"pole x to,{most}"
    ]  # fmt: skip
    sources = published["sources.csv"].decode().splitlines()
    assert sources[1].endswith("/lines/tx/daily/z/batch_20240601.csv")
    clew("verify", "--all", folder=tmp_path)


def test_predictions_are_noted(prepare: ModuleType, tmp_path: Path) -> None:
    """A month that is partly predicted gets a note beside its report."""
    months = [one.day.replace(day=1) for one in prepare.readings(_source()) if one.mark == "predicted"]
    prepare.prepare(tmp_path, first=months[0], batches=1)
    done = load(tmp_path)
    assert statuses_of(done)["Note predictions"] == "completed"
    predicted = done["variables"]["totals"]["predicted"]
    notes = [
        text for name, text in files_in(tmp_path / "lines/out").items() if name.endswith("predictions.txt")
    ]
    assert [note.decode().split()[0] for note in notes] == [str(predicted)]


@pytest.mark.parametrize("how", ["truncated", "altered"])
def test_a_corrupt_batch_leaves_no_mark(prepare: ModuleType, tmp_path: Path, how: str) -> None:
    """A corrupt file breaks the checks after loading; what an earlier run has loaded and published stays."""
    prepare.prepare(tmp_path)
    load(tmp_path)
    prepare.corrupt(tmp_path, how)
    before = rows_in(tmp_path), files_in(tmp_path / "lines")
    done = load(tmp_path, exit_status=3)
    assert (done["status"], done["residue"]) == ("rolled_back", [])
    statuses = statuses_of(done)
    assert (statuses["Load readings"], statuses["Collect sources"]) == ("rolled_back", "rolled_back")
    assert statuses["Publish report"] == "pending"
    assert (rows_in(tmp_path), files_in(tmp_path / "lines")) == before


def test_an_unreadable_batch_leaves_no_mark(prepare: ModuleType, tmp_path: Path) -> None:
    """A file that is no batch at all fails while it is read, and the list of sources is taken back."""
    prepare.prepare(tmp_path)
    newest = tmp_path / "lines/tx/daily/z/batch_20240601.csv"
    newest.write_text("day,mark,x,y,ut1_behind\n2024-06-01,measured,abc,1,1\n")
    before = rows_in(tmp_path), files_in(tmp_path / "lines")
    done = load(tmp_path, exit_status=3)
    assert done["status"] == "rolled_back"
    assert (rows_in(tmp_path), files_in(tmp_path / "lines")) == before


def _source() -> Path:
    from astropy_iers_data import IERS_A_FILE

    return Path(IERS_A_FILE)
