"""Where programs are read from: what is found in files and folders, and what is told when that changes."""

from __future__ import annotations

import os
import select
from pathlib import Path
from typing import Any

import pytest

from clew.authoring import program_places
from clew.authoring.program_places import DEPTH_MAX, PlaceEvents, find_sources

SECONDS_MAX = 20
"""The system tells at once; what takes so long never comes."""


def found(*places: Path | str) -> tuple[list[str], list[str]]:
    """The names of the sources, and what is wrong."""
    sources, problems = find_sources([str(place) for place in places])
    return [source.name for source in sources], [str(problem) for problem in problems]


def write(path: Path, text: str = "name: x\n") -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


# ---- what is found -----------------------------------------------------------------------------------------


def test_program_files_of_a_folder_and_those_in_it_are_found_in_order(tmp_path: Path) -> None:
    """By their endings; nothing hidden, and no other file."""
    wanted = [write(tmp_path / name) for name in ("a.yaml", "b/c.yml", "b/d/e.json", "z.toml")]
    for name in (".hidden.yaml", ".git/x.yaml", "b/.y/z.yaml", "notes.txt", "a.yaml~", "a.yaml.new", "yaml"):
        write(tmp_path / name)
    assert found(tmp_path) == (wanted, [])


def test_each_is_found_once_in_the_order_of_the_places(tmp_path: Path) -> None:
    """Named twice, or by its folder and itself; a file by any name is one that somebody has named."""
    first, second = write(tmp_path / "x" / "a.yaml"), write(tmp_path / "b.program")
    assert found(second, tmp_path / "x", first, tmp_path / "x" / ".." / "x") == ([second, first], [])


def test_a_reference_is_a_source_unless_there_is_a_file_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can't be looked at, so it has no mark."""
    monkeypatch.chdir(tmp_path)
    [source], _ = find_sources(["jobs:daily"])
    assert (source.name, source.mark) == ("jobs:daily", "")
    write(tmp_path / "jobs:daily")
    [source], _ = find_sources(["jobs:daily"])
    assert source.name == str(tmp_path / "jobs:daily") and source.mark


def test_a_place_that_is_not_there_is_a_problem_and_no_other_place_is(tmp_path: Path) -> None:
    """What can be found is found."""
    file = write(tmp_path / "a.yaml")
    gone = tmp_path / "gone"
    assert found(gone, tmp_path) == ([file], [f"{gone}: there is no such file or folder"])
    [problem] = find_sources([str(gone)])[1]
    assert problem.place == str(gone)


def test_there_is_a_limit_to_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as the limit are read; with one more none of the place is, and that is a problem."""
    monkeypatch.setattr(program_places, "FILE_COUNT_MAX", 3)
    for number in range(3):
        write(tmp_path / f"{number}.yaml")
    assert len(found(tmp_path)[0]) == 3
    write(tmp_path / "4.yaml")
    sources, problems = found(tmp_path)
    assert sources == [] and problems == [f"{tmp_path}: more than 3 program files; name a folder with fewer"]


def test_there_is_a_limit_to_depth(tmp_path: Path) -> None:
    """Folders that lie deeper are not looked into."""
    deep = tmp_path
    for _ in range(DEPTH_MAX):
        deep /= "f"
    reached = write(deep / "reached.yaml")
    write(deep / "f" / "too-deep.yaml")
    assert found(tmp_path) == ([reached], [])


def test_a_folder_that_leads_to_itself_is_read_once(tmp_path: Path) -> None:
    """Links to folders are not followed; links to files are."""
    file = write(tmp_path / "x" / "a.yaml")
    os.symlink(tmp_path, tmp_path / "x" / "loop")
    os.symlink(file, tmp_path / "x" / "b.yaml")
    assert found(tmp_path) == ([file, str(tmp_path / "x" / "b.yaml")], [])


def test_a_folder_that_can_not_be_read_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That nobody knows what it holds is another thing than that it holds nothing."""
    write(tmp_path / "a.yaml")
    write(tmp_path / "shut" / "b.yaml")
    scandir = os.scandir

    def refusing(path: Any) -> Any:
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    sources, problems = found(tmp_path)
    assert sources == []
    assert problems == [f"{tmp_path}: {tmp_path / 'shut'} can't be read: Permission denied"]


def test_a_folder_that_goes_while_it_is_looked_for_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless it is the place itself."""
    file = write(tmp_path / "a.yaml")
    write(tmp_path / "going" / "b.yaml")
    scandir = os.scandir

    def going(path: Any) -> Any:
        if str(path) == gone:
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", going)
    gone = str(tmp_path / "going")
    assert found(tmp_path) == ([file], [])
    gone = str(tmp_path)
    sources, problems = found(tmp_path)
    assert sources == [] and len(problems) == 1


def test_a_mark_is_another_one_once_the_file_has_changed(tmp_path: Path) -> None:
    """Written anew, or replaced by one that looks alike; a file that is gone meanwhile has none."""
    path = tmp_path / "a.yaml"

    def mark() -> str:
        [source], _ = find_sources([str(tmp_path)])
        return source.mark

    write(path)
    before = mark()
    assert mark() == before
    write(tmp_path / "b", "name: x\n")
    os.utime(tmp_path / "b", ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    os.replace(tmp_path / "b", path)
    replaced = mark()
    assert replaced != before
    path.write_text("name: longer\n")
    assert mark() != replaced
    os.remove(path)
    os.symlink(tmp_path / "nowhere", path)
    assert mark() == ""


# ---- what is told ------------------------------------------------------------------------------------------


class Told:
    """What the system tells of these places."""

    def __init__(self, *places: Path) -> None:
        self.places = [str(place) for place in places]
        self.events = PlaceEvents()
        self.watch()

    def watch(self) -> None:
        self.events.watch(self.places)

    def of_news(self) -> bool:
        """Wait until something is told; what was told before is forgotten."""
        readable, _, _ = select.select([self.events.fileno()], [], [], SECONDS_MAX)
        return bool(readable) and self.events.read()

    def nothing(self) -> bool:
        return not self.events.read()


def test_what_changes_in_a_folder_is_told(tmp_path: Path) -> None:
    """New, written, replaced, gone; also in folders in it. Reading tells nothing."""
    write(tmp_path / "b" / "c.yaml")
    told = Told(tmp_path)
    assert told.nothing()
    write(tmp_path / "a.yaml")
    assert told.of_news()
    (tmp_path / "a.yaml").read_text()
    assert told.nothing()
    write(tmp_path / "b" / "c.yaml", "name: y\n")
    assert told.of_news()
    os.rename(tmp_path / "a.yaml", tmp_path / "d.yaml")
    assert told.of_news()
    os.remove(tmp_path / "d.yaml")
    assert told.of_news() and told.nothing()
    told.events.close()


def test_a_file_that_is_a_place_is_told_of_when_it_is_replaced(tmp_path: Path) -> None:
    """As editors do: what is there by its name then is another file."""
    file = tmp_path / "a.yaml"
    write(file)
    told = Told(file)
    write(tmp_path / "new")
    assert told.of_news()
    told.watch()
    os.replace(tmp_path / "new", file)
    assert told.of_news()
    told.events.close()


def test_a_folder_that_comes_later_is_watched_from_then_on(tmp_path: Path) -> None:
    """The one above it tells that it has come."""
    place = tmp_path / "programs"
    told = Told(place)
    place.mkdir()
    assert told.of_news()
    told.watch()
    write(place / "a.yaml")
    assert told.of_news()
    (place / "more").mkdir()
    assert told.of_news()
    told.watch()
    write(place / "more" / "b.yaml")
    assert told.of_news()
    told.events.close()


def test_a_folder_that_is_replaced_is_watched_anew(tmp_path: Path) -> None:
    """The old one, wherever it is now, tells nothing any more."""
    place, away = tmp_path / "place" / "programs", tmp_path / "away"
    write(place / "a.yaml")
    told = Told(place)
    os.rename(place, away)
    assert told.of_news()
    told.watch()
    place.mkdir()
    assert told.of_news()
    told.watch()
    assert told.nothing()
    write(away / "old.yaml")
    assert told.nothing()
    write(place / "new.yaml")
    assert told.of_news()
    told.events.close()


def test_what_is_a_place_no_more_is_not_told_of(tmp_path: Path) -> None:
    """Nor is anything hidden."""
    one, other = tmp_path / "1" / "one", tmp_path / "2" / "other"
    write(one / "a.yaml")
    write(other / ".hidden" / "a.yaml")
    told = Told(one, other)
    write(other / ".hidden" / "b.yaml")
    assert told.nothing()
    told.places = [str(other)]
    told.watch()
    told.events.read()
    write(one / "b.yaml")
    assert told.nothing()
    told.events.close()
