"""`restore_files`: what a stage overwrote is put back, what it made is deleted, what is somebody else's is left."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.commands.surroundings import Surroundings

from clew.buckets.keeping import PLACES_MAX, keep, look
from clew.commands.interface import CommandError
from clew.commands.performing import perform
from clew.ports import BucketError, KeptObject


@pytest.fixture
def around(tmp_path):
    return with_copies(tmp_path)


def with_copies(folder):
    around = Surroundings(folder)
    around.urls["copies"] = str(folder / "copies")
    return around


def keep_in(around, *places):
    return keep(places, around.bucket, around.bucket("copies"), "run-1/pay")


def restore(around, kept, left, **changes):
    given = {
        "kept": msgspec.to_builtins(kept),
        "left": left,
        "kept_bucket": around.bucket("copies").url,
        "bucket": around.bucket,
    }
    with around.context(**{**given, **changes}) as context:
        return perform("restore_files", {}, context, {}).value


def failure(around, kept, left, **changes):
    with pytest.raises(CommandError) as raised:
        restore(around, kept, left, **changes)
    return raised.value


def sha(content):
    return hashlib.sha256(content).hexdigest()


# ---- keeping ---------------------------------------------------------------------------------------------


def test_what_is_kept_says_what_was_there(around):
    """An object is copied with its size and SHA-256; where there is none, that is said."""
    around.bucket("lines").write("a/b", b"before")
    url = f"file://{around.folder}/other/c"
    around.bucket("other").write("c", b"")
    kept = keep_in(around, "lines/a/b", "lines/none", url)
    assert kept == [
        KeptObject("lines/a/b", existed=True, digest=sha(b"before"), size=6, location="run-1/pay/0"),
        KeptObject("lines/none", existed=False),
        KeptObject(url, existed=True, digest=sha(b""), size=0, location="run-1/pay/2"),
    ]
    assert around.bucket("copies").read("run-1/pay/0", 9) == b"before"
    assert [one.key for one in around.bucket("copies").list_folder("run-1/pay/")] == [
        "run-1/pay/0",
        "run-1/pay/2",
    ]


def test_keeping_again_keeps_what_is_there_then(around):
    """Done twice, the second one counts."""
    around.bucket("lines").write("a", b"one")
    keep_in(around, "lines/a")
    around.bucket("lines").write("a", b"two")
    (kept,) = keep_in(around, "lines/a")
    assert kept.digest == sha(b"two")
    assert around.bucket("copies").read(kept.location, 9) == b"two"


def test_a_look_tells_each_place_as_it_is_now(around):
    """The SHA-256 of what is there, None where there is nothing."""
    around.bucket("lines").write("a", b"x")
    assert look(["lines/a", "lines/b"], around.bucket) == {"lines/a": sha(b"x"), "lines/b": None}


@pytest.mark.parametrize(
    ("places", "kind", "text"),
    [
        (["lines/a", "a"], ValueError, "'a' is no location"),
        (["lines/a", "/a"], ValueError, "names no bucket"),
        (["lines/a"] * (PLACES_MAX + 1), ValueError, "1001 objects are to be kept; 1000 is the most"),
        (["nowhere/a"], BucketError, "no bucket 'nowhere' is known"),
        (["lines/../a"], BucketError, "can't be in a folder"),
    ],
)
def test_what_can_not_be_kept_is_told(around, places, kind, text):
    """A place that is none, one too many, or a bucket that can't answer is an error, which says so."""
    around.bucket("lines").write("a", b"")
    for act in (lambda: keep_in(around, *places), lambda: look(places, around.bucket)):
        with pytest.raises(kind, match=text):
            act()


# ---- restoring -------------------------------------------------------------------------------------------


def test_all_is_as_it_was_before(around):
    """What was changed, deleted or made is put right, and what was not touched is not written."""
    lines, places = around.bucket("lines"), [f"lines/{key}" for key in ("changed", "gone", "made", "same")]
    for key in ("changed", "gone", "same"):
        lines.write(key, b"before")
    untouched = lines.facts("same")
    kept = keep_in(around, *places)
    lines.write("changed", b"after")
    lines.delete("gone")
    lines.write("made", b"new")
    left = look(places, around.bucket)
    assert restore(around, kept, left) == {"restored": 2, "deleted": 1, "as_before": 1}
    assert look(places, around.bucket) == {
        **dict.fromkeys(places, sha(b"before")),
        "lines/made": None,
    }
    assert lines.facts("same") == untouched
    assert restore(around, kept, left) == {"restored": 0, "deleted": 0, "as_before": 4}
    assert restore(around, kept, None) == {"restored": 0, "deleted": 0, "as_before": 4}


def test_what_somebody_else_has_changed_is_left(around):
    """The others are restored; then it fails, naming each place and what a person can do."""
    lines, places = around.bucket("lines"), ["lines/theirs", "lines/made", "lines/ours"]
    lines.write("theirs", b"before")
    lines.write("ours", b"before")
    kept = keep_in(around, *places)
    for key in ("theirs", "made", "ours"):
        lines.write(key, b"after")
    left = look(places, around.bucket)
    lines.write("theirs", b"by somebody")
    lines.write("made", b"by somebody")
    error = failure(around, kept, left)
    assert error.kind == "changed_since"
    assert error.message == (
        "'lines/theirs', 'lines/made': somebody else has changed what the stage left; what is there now stays. "
        "Put it right by hand and resume the run, or skip this rollback to leave it"
    )
    copy = f"file://{around.folder}/copies/run-1/pay/0"
    assert error.detail.splitlines() == [
        f"lines/theirs: before it had 6 bytes of SHA-256 {sha(b'before')}, kept as {copy}",
        "lines/made: nothing was there before",
    ]
    assert lines.read("theirs", 99) == lines.read("made", 99) == b"by somebody"
    assert lines.read("ours", 99) == b"before"
    lines.write("theirs", b"before")
    lines.delete("made")
    assert restore(around, kept, left) == {"restored": 0, "deleted": 0, "as_before": 3}


def test_what_nobody_saw_is_left(around):
    """When it is not known how the stage left things, only what is as before is not in question."""
    lines, places = around.bucket("lines"), ["lines/same", "lines/other", "lines/gone"]
    for key in ("same", "other", "gone"):
        lines.write(key, b"before")
    kept = keep_in(around, *places)
    lines.write("other", b"after")
    lines.delete("gone")
    for left in (None, {"lines/same": sha(b"before")}):
        error = failure(around, kept, left)
        assert error.kind == "changed_since"
        assert error.message.startswith("'lines/other', 'lines/gone': nobody saw how the stage left it")
    assert lines.read("other", 99) == b"after"


@pytest.mark.parametrize("spoil", ["gone", "other", "shorter"])
def test_a_copy_that_is_not_what_was_kept_is_not_put_back(around, spoil):
    """A kept copy that is gone or has other bytes leaves the object alone; the others are restored."""
    lines, copies = around.bucket("lines"), around.bucket("copies")
    places = ["lines/a", "lines/b", "lines/c"]
    for key in "abc":
        lines.write(key, b"before")
    kept = keep_in(around, *places)
    for key in "abc":
        lines.write(key, b"after")
    left = look(places, around.bucket)
    lines.write("c", b"by somebody")
    if spoil == "gone":
        copies.delete(kept[0].location)
    else:
        copies.write(kept[0].location, b"befor!" if spoil == "other" else b"befor")
    error = failure(around, kept, left)
    assert error.kind == "kept_copy"
    assert "'lines/a': the copy that was kept is gone, or is not what was kept; 'lines/c': " in error.message
    assert [lines.read(key, 99) for key in "abc"] == [b"after", b"before", b"by somebody"]


def test_a_message_names_as_many_places_as_can_be_read(around):
    """Of very many places the message names the first, and the detail all."""
    places = [f"lines/{number}" for number in range(25)]
    kept = keep_in(around, *places)
    for number in range(25):
        around.bucket("lines").write(str(number), b"x")
    error = failure(around, kept, None)
    assert "'lines/19' and 5 more: " in error.message
    assert len(error.detail.splitlines()) == 25


def test_nobody_else_orders_it(around):
    """Without a bucket of kept objects nobody of clew's has ordered it, and it does nothing."""
    assert failure(around, [], None, kept_bucket="").kind == "params"


# ---- killed at any point ---------------------------------------------------------------------------------


class Killed(BaseException):
    """The process ends here."""


class Life:
    """What a process does to buckets, until it is killed before or after its act of that number."""

    def __init__(self, acts_left: int, *, after: bool) -> None:
        self.acts_left, self.after = acts_left, after

    def act(self, function: Callable[..., object], *given: object) -> object:
        self.acts_left -= 1
        if self.acts_left < 0 and not self.after:
            raise Killed
        result = function(*given)
        if self.acts_left < 0:
            raise Killed
        return result


class Mortal:
    """A real bucket in the hands of a process that is going to be killed."""

    def __init__(self, bucket, life):
        self._bucket, self._life = bucket, life
        self.url = bucket.url

    def read_pieces(self, key):
        for piece in self._bucket.read_pieces(key):
            yield self._life.act(lambda piece=piece: piece)

    def write_pieces(self, key, pieces):
        return self._life.act(self._bucket.write_pieces, key, pieces)

    def delete(self, key):
        return self._life.act(self._bucket.delete, key)


class Place(NamedTuple):
    """The contents at one place: before the stage, as it left it, and now; None for no object."""

    before: bytes | None
    left: bytes | None
    now: bytes | None
    copy_is_lost: bool


contents = st.sampled_from([None, b"", b"one", b"two"])


@st.composite
def any_places(draw):
    places = []
    for _ in range(draw(st.integers(1, 4))):
        before, left = draw(contents), draw(contents)
        now = draw(st.sampled_from([before, left, left, b"by somebody", None]))
        places.append(Place(before, left, now, draw(st.booleans()) and draw(st.booleans())))
    return places


def put(bucket, key, content):
    bucket.delete(key) if content is None else bucket.write(key, content)


def contents_of(around, count):
    bucket = around.bucket("lines")
    return [bucket.read(str(n), 99) if bucket.facts(str(n)) else None for n in range(count)]


def expected(place: Place, *, is_seen: bool) -> bytes | None:
    """What is to stand at a place in the end."""
    may_touch = is_seen and place.now == place.left and not (place.copy_is_lost and place.before is not None)
    return place.before if may_touch else place.now


@settings(max_examples=150)
@given(
    places=any_places(),
    is_seen=st.booleans(),
    deaths=st.lists(st.tuples(st.integers(0, 12), st.booleans()), max_size=4),
)
def test_killed_anywhere_and_run_again_it_comes_to_the_same(tmp_path_factory, places, is_seen, deaths):
    """However often it is killed, and wherever, what stands there in the end is what one whole run would give,
    and so is what is said of it."""
    folder: Path = tmp_path_factory.mktemp("restored")
    around = with_copies(folder)
    names = [f"lines/{number}" for number in range(len(places))]
    lines = around.bucket("lines")

    def to(moment):
        for number, place in enumerate(places):
            put(lines, str(number), getattr(place, moment))

    def killed(act, deaths):
        for number, after in deaths:
            life = Life(number, after=after)
            try:
                act(lambda name, life=life: Mortal(around.bucket(name), life))
            except Killed:
                continue
            except CommandError:
                break

    to("before")
    killed(lambda bucket: keep(names, bucket, bucket("copies"), "kept"), deaths)
    kept = keep(names, around.bucket, around.bucket("copies"), "kept")
    to("left")
    left = look(names, around.bucket) if is_seen else None
    to("now")
    for place, one in zip(places, kept, strict=True):
        if place.copy_is_lost and one.existed:
            around.bucket("copies").delete(one.location)

    killed(lambda bucket: restore(around, kept, left, bucket=bucket), deaths)
    kind = None
    try:
        restore(around, kept, left)
    except CommandError as error:
        kind = error.kind

    assert contents_of(around, len(places)) == [expected(place, is_seen=is_seen) for place in places]
    stays = [place for place in places if expected(place, is_seen=is_seen) != place.before]
    lost = [place for place in stays if is_seen and place.now == place.left]
    assert kind == ("kept_copy" if lost else "changed_since" if stays else None)
