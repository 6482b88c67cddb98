"""`publish_file`, `copy_file`, `delete_file`: files in buckets."""

from __future__ import annotations

import pytest
from tests.commands.surroundings import Surroundings

from clew.commands.interface import CommandError
from clew.commands.performing import perform


@pytest.fixture
def around(tmp_path):
    return Surroundings(tmp_path)


def do(around, name, params, scope=None, **changes):
    with around.context(**changes) as context:
        return perform(name, params, context, scope or {}).value


@pytest.mark.parametrize("name", ["publish_file", "publish_file_to_s3"])
def test_lines_are_published_below_their_place(around, name):
    """A place and lines make a file with a newline behind each line, with variables filled in."""
    scope = {"run": "r1", "file": {"url": "s3://a/b", "bucket": "a", "key": "b"}, "more": ["x", 2]}
    value = do(around, name, ["lines/out/{run}/s.csv", "name,location", "file,{file}", "{more}"], scope)
    assert around.bucket("lines").read("out/r1/s.csv", 99) == b"name,location\nfile,s3://a/b\nx\n2\n"
    facts = around.bucket("lines").facts("out/r1/s.csv")
    assert (value["bucket"], value["key"], value["name"]) == ("lines", "out/r1/s.csv", "s.csv")
    assert (value["size"], value["etag"]) == (facts.size, facts.etag)
    assert value["url"] == f"file://{around.folder}/lines/out/r1/s.csv"


def test_content_is_published_as_it_stands(around):
    """With `content` nothing is added; what is no text is written as JSON; no lines make an empty file."""
    do(around, "publish_file", {"location": "lines/a", "content": "no newline"})
    do(around, "publish_file", {"location": "lines/b", "content": "{v}"}, {"v": {"é": [1]}})
    do(around, "publish_file", {"location": "lines/c", "lines": []})
    do(around, "publish_file", {"location": "lines/d", "lines": "one"})
    read = {key: around.bucket("lines").read(key, 99) for key in "abcd"}
    assert read == {"a": b"no newline", "b": '{"é": [1]}'.encode(), "c": b"", "d": b"one\n"}


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"location": "lines/a"}, "either lines or content"),
        ({"location": "lines/a", "lines": [], "content": ""}, "either lines or content"),
        ({"location": "lines", "lines": []}, "write `bucket/key`"),
        ({"location": "{nowhere}/a", "lines": []}, "nothing is called 'nowhere'"),
        ({"lines": []}, "publish_file needs 'location'"),
        ({"location": "lines/a", "lines": [], "mode": 1}, "publish_file takes no 'mode'"),
    ],
)
def test_wrong_params_are_told(around, params, text):
    """A mistake in the params fails with the kind `params` and says what would be right."""
    with pytest.raises(CommandError, match=text) as raised:
        do(around, "publish_file", params)
    assert raised.value.kind == "params"


def test_a_file_is_copied_within_a_bucket_and_to_another(around):
    """Copies go within a bucket, between buckets, and from a location that a dependency found."""
    do(around, "publish_file", ["lines/a", "x"])
    do(around, "copy_file", ["lines/a", "lines/deep/b"])
    do(around, "copy_file", ["lines/a", "other/c"])
    located = do(
        around, "copy_file", {"from": "{file}", "to": "other/d"}, {"file": located_of(around, "lines/a")}
    )
    assert located["key"] == "d"
    assert around.bucket("lines").read("deep/b", 9) == b"x\n"
    assert around.bucket("other").read("c", 9) == around.bucket("other").read("d", 9) == b"x\n"


def located_of(around, place):
    return do(around, "copy_file", [place, place])


def test_copying_what_is_not_there_fails(around):
    """A missing source is `not_found`."""
    for target in ("lines/b", "other/b"):
        with pytest.raises(CommandError, match="'lines/a' is not there") as raised:
            do(around, "copy_file", ["lines/a", target])
        assert raised.value.kind == "not_found"


def test_deleting_what_is_not_there_is_no_error(around):
    """A rollback may find nothing to undo; the result says how many there were."""
    for key in "abc":
        do(around, "publish_file", [f"lines/{key}", "x"])
    assert do(around, "delete_file", ["lines/a", "lines/z"]) == {"deleted": 1}
    assert do(around, "delete_file", {"location": "lines/b"}) == {"deleted": 1}
    assert do(around, "delete_file", ["{all}"], {"all": ["lines/c", "lines/b"]}) == {"deleted": 1}
    assert list(around.bucket("lines").list_folder("")) == []
