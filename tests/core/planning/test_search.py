"""The search: a conversation that wants listings and ends with what it found or how near it came."""

from __future__ import annotations

import re
from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.core.planning import search as module
from clew.core.planning.listings import Entry, Page
from clew.core.planning.patterns import FIELDS, PatternError, natural
from clew.core.planning.questions import Question, Reply
from clew.core.planning.search import Ambiguous, Found, Missing, Search, in_order
from clew.core.program.model import (
    AskedDependency,
    Dependency,
    Element,
    ProgramDependency,
    VariableDependency,
)


def listing(objects, folder, start):
    """What an object store answers: the direct entries of a folder that begin so, in order of key."""
    below = sorted(key for key in objects if key.startswith(folder + start))
    direct = [key[: key.find("/", len(folder)) + 1] or key for key in below]
    keys = [key for key, _ in groupby(direct)]
    return [
        Entry(key) if key.endswith("/") else Entry(key, objects[key][0], f"e-{key}", objects[key][1])
        for key in sorted(set(keys))
    ]


def converse(search, objects, page_size=1_000):
    """Hold a conversation to its end; the outcome, and the listings that were asked for, page by page."""
    asked = []
    while search.want is not None:
        want = search.want
        entries = listing(objects, want.folder, want.start)
        position = 0
        while search.want is want:
            page = entries[position : position + page_size]
            position += page_size
            asked.append((want.folder, want.start))
            search.feed(Page(page, len(page) == page_size, "s3://lines"))
    return search.outcome, asked


def find(keys, *prefix, scope=None, page_size=1_000, probes=False):
    objects = keys if isinstance(keys, dict) else {key: (1, 0) for key in keys}
    search = Search([Dependency("file", "lines", prefix)], scope or {}, probes=probes)
    return converse(search, objects, page_size)


def key_of(outcome):
    assert isinstance(outcome, Found), outcome
    value = outcome.values["file"]
    return [one["key"] for one in value] if isinstance(value, list) else value["key"]


DAYS = ["tx/daily/z/batch_9.csv", "tx/daily/z/batch_12.csv", "tx/daily/z/other.txt", "tx/readme"]
BATCH = Element(r"batch_(?P<batch>\d+)\.csv$", "regex", "max")


def test_a_located_value_says_where_it_is_and_what_was_matched():
    """The value has the object's fields, the named groups, and what each element matched."""
    outcome, _ = find({"tx/daily/z/batch_12.csv": (7, 1_500)}, Element("tx"), Element("daily/z"), BATCH)
    assert outcome.values == (
        {
            "file": {
                "url": "s3://lines/tx/daily/z/batch_12.csv",
                "bucket": "lines",
                "key": "tx/daily/z/batch_12.csv",
                "name": "batch_12.csv",
                "size": 7,
                "etag": "e-tx/daily/z/batch_12.csv",
                "modified": "1970-01-01T00:00:01.500Z",
                "matched": ["tx", "daily/z", "batch_12.csv"],
                "batch": "12",
            }
        }
    )


def test_literal_folders_are_not_listed():
    """Listing begins below the longest literal prefix, with the literal start of the regex."""
    outcome, asked = find(DAYS, Element("tx"), Element("daily/z"), BATCH)
    assert key_of(outcome) == "tx/daily/z/batch_12.csv"
    assert asked == [("tx/daily/z/", "batch_")]


def test_an_exact_path_costs_one_request():
    """A path without regex is one listing, which ends as soon as the key has been seen or passed."""
    keys = [f"a/b{number}" for number in range(30)] + ["a/b"]
    outcome, asked = find(keys, Element("a/b"), page_size=3)
    assert key_of(outcome) == "a/b"
    assert asked == [("a/", "b")]
    _, asked = find([key for key in keys if key != "a/b"], Element("a/b"), page_size=3)
    assert asked == [("a/", "b")]


def test_a_folder_is_found_behind_names_that_come_before_it():
    """The search for a folder goes on through the pages until its key has been passed."""
    keys = [f"a/b-{number}" for number in range(5)] + ["a/b/x"]
    outcome, asked = find(keys, Element("a"), Element("b/"), page_size=2)
    value = outcome.values["file"]
    assert (value["key"], value["name"]) == ("a/b/", "b")
    assert (value["size"], value["etag"], value["modified"]) == (None, None, None)
    assert len(asked) == 3


def test_an_empty_page_at_the_end_is_the_end():
    """A listing whose last page is empty ends like any other."""
    outcome, asked = find(["a/b-1", "a/b-2"], Element("a"), Element("b/"), page_size=2)
    assert isinstance(outcome, Missing)
    assert asked[:2] == [("a/", "b"), ("a/", "b")]


@pytest.mark.parametrize(
    ("choice", "key"),
    [("max", "f12"), ("min", "f3"), ("newest", "f7"), ("oldest", "f12")],
)
def test_one_of_several_is_chosen(choice, key):
    """By score, in which digits count as numbers, or by the time of modification."""
    objects = {"f12": (1, 10), "f3": (1, 20), "f7": (1, 30)}
    outcome, _ = find(objects, Element(r"f\d+", "regex", choice), page_size=2)
    assert key_of(outcome) == key


def test_all_are_given_as_a_list_in_order_of_their_scores():
    """`all` makes a list, even of one."""
    outcome, _ = find(["f12", "f3", "f7"], Element(r"f\d+$", "regex", "all"), page_size=2)
    assert key_of(outcome) == ["f3", "f7", "f12"]
    outcome, _ = find(["f3"], Element(r"f\d+$", "regex", "all"))
    assert key_of(outcome) == ["f3"]


def test_the_score_is_what_matched_and_not_what_follows():
    """Without groups the matched text is the score: what stands behind it does not count, but breaks ties."""
    keys = ["f2-z", "f10-a", "f10-b"]
    assert key_of(find(keys, Element(r"f\d+", "regex", "max"))[0]) == "f10-b"
    assert key_of(find(keys, Element("f", "regex", "max"))[0]) == "f2-z"


def test_ties_break_by_the_full_key():
    """Equal scores and equal times are decided by the key, in the direction of the choice."""
    keys = ["v1-a", "v01-b", "v1-c"]
    pattern = r"v(\d+)"
    assert key_of(find(keys, Element(pattern, "regex", "max"))[0]) == "v1-c"
    assert key_of(find(keys, Element(pattern, "regex", "min"))[0]) == "v01-b"
    objects = {key: (1, 5) for key in keys}
    assert key_of(find(objects, Element(pattern, "regex", "newest"))[0]) == "v1-c"
    assert key_of(find(objects, Element(pattern, "regex", "oldest"))[0]) == "v01-b"


def test_a_group_that_took_no_part_is_null_and_scores_least():
    """An optional group without text is null in the value and comes before any text."""
    keys = ["a-1", "a"]
    outcome, _ = find(keys, Element("a(-(?P<part>.*))?$", "regex", "min"))
    assert outcome.values["file"]["part"] is None
    outcome, _ = find(keys, Element("a(-(?P<part>.*))?$", "regex", "max"))
    assert outcome.values["file"]["part"] == "1"


def test_several_without_a_choice_are_ambiguous_and_the_first_ten_are_told():
    """Without `multiple` more than one match is told with its first ten keys."""
    outcome, _ = find([f"f{number:02}" for number in range(30)], Element("f", "regex"), page_size=4)
    assert isinstance(outcome, Ambiguous)
    assert outcome.keys == tuple(f"f{number:02}" for number in range(10))
    assert outcome.evidence.matched == 30


def test_a_choice_before_the_last_element_is_among_those_that_lead_somewhere():
    """The greatest folder without the file is passed over for the next one with it."""
    keys = ["v1/x", "v2/x", "v3/y"]
    outcome, asked = find(keys, Element(r"v\d+$", "regex", "max"), Element("x"))
    assert key_of(outcome) == "v2/x"
    assert asked == [("", "v"), ("v3/", "x"), ("v2/", "x")]


def test_a_choice_that_leads_nowhere_is_missing():
    """When no folder leads to the file, it is missing."""
    outcome, _ = find(["v1/y", "v2/y"], Element(r"v\d+$", "regex", "max"), Element("x"))
    assert isinstance(outcome, Missing)


def test_without_a_choice_before_the_last_element_all_are_followed():
    """Every folder that fits is followed, and the last element chooses among what lies in all of them."""
    keys = ["v1/f2", "v2/f1", "w/f9"]
    outcome, _ = find(keys, Element(r"v\d+$", "regex"), Element("f.", "regex", "max"))
    assert key_of(outcome) == "v1/f2"


def test_a_choice_in_the_middle_is_among_the_matches_of_all_folders():
    """An element chooses over all paths that reach it, whatever folder they come through."""
    keys = ["a1/v5/x", "a2/v7/x", "a3/v6/x"]
    outcome, _ = find(keys, Element("a", "regex"), Element(r"v\d", "regex", "max"), Element("x"))
    assert key_of(outcome) == "a2/v7/x"


def test_an_element_may_span_several_segments():
    """A regex with slashes matches segment by segment, and is scored and told as a whole."""
    keys = ["tx/dir_0001/file.txt", "tx/dir_0002/file.txt", "tx/dir_0003/other"]
    outcome, _ = find(keys, Element(r"tx$/dir_(?P<n>\d\d\d\d)/file.txt$", "regex", "max"))
    value = outcome.values["file"]
    assert value["key"] == "tx/dir_0002/file.txt"
    assert value["matched"] == ["tx/dir_0002/file.txt"]
    assert value["n"] == "0002"


def test_a_segment_matches_from_its_start_and_its_end_is_free():
    """Without `$` a regex segment fits whatever begins so."""
    outcome, _ = find(["old-tx/a", "tx-2/a"], Element("tx/a", "regex"))
    assert key_of(outcome) == "tx-2/a"
    assert outcome.values["file"]["matched"] == ["tx/a"]


def test_values_of_the_scope_are_filled_in():
    """Buckets, exact elements and regexes may refer to variables."""
    search = Search(
        [Dependency("file", "{bucket}", (Element("{region}"), Element(r"{stem}\d$", "regex")))],
        {"bucket": "lines", "region": "east", "stem": "a.b"},
    )
    assert search.want.bucket == "lines"
    outcome, _ = converse(search, {"east/a.b1": (1, 0), "east/axb1": (1, 0)})
    assert key_of(outcome) == "east/a.b1"


def test_a_bucket_must_be_a_text():
    """A bucket that is no text is told."""
    with pytest.raises(PatternError, match="the bucket of 'file' is list"):
        Search([Dependency("file", "{bucket}", (Element("a"),))], {"bucket": ["a"]})


# ---- several dependencies --------------------------------------------------------------------------------


def test_dependencies_are_searched_in_the_order_of_their_references():
    """What refers to another is searched after it, and uses what was found."""
    totals = Dependency("totals", "lines", (Element("totals-{file.batch}"),))
    file = Dependency("file", "lines", (Element(r"f(?P<batch>\d+)$", "regex", "max"),))
    assert in_order([totals, file]) == (file, totals)
    outcome, _ = converse(Search([totals, file], {}), {"f1": (1, 0), "f2": (1, 0), "totals-2": (1, 0)})
    assert outcome.values["totals"]["key"] == "totals-2"


def test_all_are_found_or_none():
    """One that is missing makes the whole try missing."""
    first = Dependency("first", "lines", (Element("a"),))
    second = Dependency("second", "lines", (Element("b"),))
    outcome, _ = converse(Search([first, second], {}), {"a": (1, 0)})
    assert isinstance(outcome, Missing)
    assert (outcome.name, outcome.how_near) == ("second", "in the bucket no name matches `b`")


def test_references_in_a_circle_are_told():
    """Dependencies that need each other can't be searched."""
    one = Dependency("one", "lines", (Element("{two.name}"),))
    two = Dependency("two", "{one.bucket}", (Element("{one.name}", "regex"),))
    with pytest.raises(PatternError, match="one, two refer to each other in a circle"):
        Search([one, two], {})


def test_no_dependencies_are_found_at_once():
    """A search for nothing wants nothing."""
    search = Search([], {})
    assert search.want is None
    assert search.outcome == Found({}, {})


# ---- how near it came ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "prefix", "text"),
    [
        (
            DAYS,
            [Element("tx/daily/z"), Element("patch_", "regex")],
            "`tx/daily/z` exists; 0 of 3 names match `patch_`",
        ),
        (DAYS, [Element("tx/daily/y"), BATCH], "`tx/daily` exists; 0 of 1 names match `y`"),
        (DAYS, [Element("ty/daily/y"), BATCH], "the bucket exists; 0 of 1 names match `ty`"),
        (DAYS, [Element("tx"), Element(r"\d", "regex"), BATCH], r"`tx` exists; 0 of 2 names match `\d`"),
        (
            DAYS,
            [Element("tx/daily")],
            "in `tx` `daily` matches, but it is a folder; end the match with '/' to want one",
        ),
        (DAYS, [Element("tx/readme/")], "in `tx` `readme` matches, but it is not a folder"),
        ([], [Element("tx/daily/z"), BATCH], "the bucket is empty"),
    ],
)
def test_a_missing_dependency_says_how_near_the_search_came(keys, prefix, text):
    """The text names the deepest folder that exists and what in it does not fit."""
    outcome, _ = find(keys, *prefix, probes=True)
    assert (outcome.name, outcome.how_near) == ("file", text)
    assert outcome.evidence.why == text


@pytest.mark.parametrize(
    ("keys", "prefix", "text"),
    [
        (
            DAYS,
            [Element("tx/daily/z"), Element(r"\d+", "regex")],
            r"`tx/daily/z` exists; 0 of 3 names match `\d+`",
        ),
        (DAYS, [Element("tx/daily/y"), Element(r"\d+", "regex")], "there is nothing in `tx/daily/y`"),
        (
            DAYS,
            [Element("tx/daily/z"), Element(r"batch_x", "regex")],
            "in `tx/daily/z` no name matches `batch_x`",
        ),
        (
            DAYS,
            [Element("tx/daily/z"), Element(r"batch_\d+\.txt", "regex")],
            r"in `tx/daily/z` 0 of 2 names that begin with `batch_` match `batch_\d+\.txt`",
        ),
        (DAYS, [Element("tx/daily/z"), Element("batch_")], "in `tx/daily/z` no name matches `batch_`"),
        (
            DAYS,
            [Element("tx/daily")],
            "in `tx` `daily` matches, but it is a folder; end the match with '/' to want one",
        ),
    ],
)
def test_what_is_missing_costs_no_further_listing(keys, prefix, text):
    """A search that nobody asked to probe says what it has seen, and lists nothing for it."""
    outcome, asked = find(keys, *prefix)
    assert outcome.how_near == text
    assert len(asked) == 1


def test_a_folder_with_many_names_says_so():
    """Only a page is read to say how much there is."""
    keys = [f"a/x{number}" for number in range(9)]
    outcome, _ = find(keys, Element("a"), Element("y", "regex"), page_size=4, probes=True)
    assert outcome.how_near == "`a` exists; 0 of 4 or more names match `y`"


def test_the_deepest_way_is_told():
    """Of several ways that end nowhere the one that went deepest is told."""
    keys = ["a1/b/c", "a2/x", "a3/b/d/e"]
    prefix = [Element("a", "regex"), Element("b", "regex"), Element("d", "regex"), Element("f")]
    outcome, _ = find(keys, *prefix, probes=True)
    assert outcome.how_near == "`a3/b/d` exists; 0 of 1 names match `f`"


def test_four_exact_segments_and_a_regex_cost_their_pages_and_five_more():
    """The promise about cost holds: the pages of what shares the literal start, and five requests."""
    keys = [f"a/b/c/d/f{number:04}" for number in range(95)] + [f"a/b/c/d/g{number}" for number in range(500)]
    _, asked = find(keys, Element("a/b/c/d"), Element(r"f\d+$", "regex", "max"), page_size=10)
    assert len(asked) == 10
    _, asked = find(keys, Element("a/b/c/d"), Element(r"f\d+x$", "regex", "max"), page_size=10, probes=True)
    assert len(asked) <= 10 + 5
    _, asked = find(keys, Element("z/b/c/d"), Element(r"f\d+$", "regex", "max"), page_size=10, probes=True)
    assert len(asked) <= 5


@pytest.mark.parametrize("depth", range(9))
def test_the_deepest_folder_that_exists_is_found_by_halving(depth):
    """However deep the path that is missing, few listings tell where it ends."""
    there = "".join(f"f{number}/" for number in range(depth))
    prefix = [Element("/".join(f"f{number}" for number in range(8))), Element("x", "regex")]
    outcome, asked = find([f"{there}other"], *prefix, probes=True)
    expected = f"f{depth}" if depth < 8 else "x"
    where = f"`{there[:-1]}`" if there else "the bucket"
    assert outcome.how_near == f"{where} exists; 0 of 1 names match `{expected}`"
    assert len(asked) <= 6


# ---- limits ----------------------------------------------------------------------------------------------


def test_too_many_matches_are_told(monkeypatch):
    """More paths than can be kept are refused rather than cut."""
    monkeypatch.setattr(module, "MATCHES_MAX", 3)
    with pytest.raises(PatternError, match="more than 3 paths match"):
        find(["f1", "f2", "f3", "f4"], Element("f", "regex", "all"))
    with pytest.raises(PatternError, match="more than 3 paths match"):
        find(["f1/x", "f2/x", "f3/x", "f4/x"], Element("f", "regex"), Element("x"))
    with pytest.raises(PatternError, match="more than 3 paths match"):
        find(
            ["a/f1/x", "a/f2/x", "b/f3/x", "b/f4/x"],
            Element(".", "regex"),
            Element("f", "regex"),
            Element("x"),
        )
    assert key_of(find(["f1", "f2", "f3", "f4"], Element("f", "regex", "max"))[0]) == "f4"


# ---- what a match rests on -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "why"),
    [
        ("max", "the greatest of 3 that match"),
        ("min", "the least of 3 that match"),
        ("newest", "the newest of 3 that match"),
        ("oldest", "the oldest of 3 that match"),
        ("all", "all of 3 that match"),
    ],
)
def test_the_evidence_says_what_was_listed_and_why_one_was_chosen(choice, why):
    """Beside the value stands what was listed, how many matched, which, and why this one was chosen."""
    outcome, _ = find(
        ["a/f1", "a/f2", "a/f10", "a/g"], Element("a"), Element(r"f\d+", "regex", choice), page_size=2
    )
    found = outcome.evidence["file"]
    assert (found.bucket, found.matched, found.why) == ("lines", 3, why)
    assert found.candidates == ("a/f1", "a/f10", "a/f2")
    (listed,) = found.listings
    assert (listed.folder, listed.start, listed.count, listed.pages) == ("a/", "f", 3, 2)
    assert found.document() == {
        "bucket": "lines",
        "listings": [{"folder": "a/", "start": "f", "count": 3, "digest": listed.digest}],
        "more_listings": 0,
        "matched": 3,
        "candidates": ["a/f1", "a/f10", "a/f2"],
        "why": why,
    }


def test_the_only_match_says_that_it_is():
    """With a choice or without, one match is the only one."""
    outcome, _ = find(["f1", "g1"], Element(r"f\d", "regex", "max"))
    assert outcome.evidence["file"].why == "the only one that matches"


def test_a_listings_digest_is_that_of_its_entries():
    """The same entries give the same digest; another key, size, etag or time gives another."""
    digests = set()
    for objects in (
        {"f1": (1, 0)},
        {"f2": (1, 0)},
        {"f1": (2, 0)},
        {"f1": (1, 1)},
        {"f1": (1, 0), "f2": (1, 0)},
    ):
        for _ in range(2):
            outcome, _ = find(objects, Element("f", "regex", "max"))
            (listed,) = outcome.evidence["file"].listings
        digests.add(listed.digest)
    assert len(digests) == 5


def test_the_first_candidates_are_kept_whatever_the_order():
    """Of very many matches the first ten in order of key are named, in whichever folder they are seen first."""
    keys = [f"b{number}/f" for number in range(9, -1, -1)] + [f"a{number}/f" for number in range(8)]
    outcome, _ = find(keys, Element("[ab]", "regex"), Element("f"))
    assert outcome.evidence.candidates == (*(f"a{number}/f" for number in range(8)), "b0/f", "b1/f")
    assert outcome.evidence.matched == 18


def test_evidence_names_so_many_listings_and_counts_the_rest():
    """What the journal keeps of a search is bounded."""
    keys = [f"d{number:03}/f" for number in range(150)]
    outcome, _ = find(keys, Element("d", "regex", "max"), Element("x?f", "regex", "max"))
    assert outcome.evidence["file"].document()["more_listings"] == 0
    outcome, _ = find(keys, Element("d", "regex"), Element("x?f", "regex", "all"))
    document = outcome.evidence["file"].document()
    assert (len(document["listings"]), document["more_listings"]) == (100, 51)


# ---- against an oracle -----------------------------------------------------------------------------------

names = st.sampled_from(["a", "a1", "a2", "a10", "b", "b1", "", ".."])
exact = st.builds(Element, st.sampled_from(["a", "b1", "a/b", "a1/a2", "b//a"]), st.just("exact"), st.none())
expressions = st.builds(
    Element,
    match=st.sampled_from(
        [r"a\d*$", r"a(\d+)", "a", r"b(?P<n{}>\d)?", r"[ab]1?0?$", r"(?P<m{}>.)/.*", r"b\d?$/a", ".."]
    ),
    kind=st.just("regex"),
    multiple=st.sampled_from([None, "min", "max"]),
)
last_choices = st.sampled_from([None, "min", "max", "newest", "oldest", "all"])


def segments_of(element):
    return [(part, element.kind) for part in element.match.split("/")]


def fit_of(element, names):
    """What Python's own regexes, or plain equality, make of an element's names: the texts, the groups, or None."""
    texts, groups, named = [], [], {}
    for (part, kind), name in zip(segments_of(element), names, strict=True):
        if kind == "exact":
            if part != name:
                return None
            texts.append(name)
            continue
        found = re.match(part, name)
        if found is None:
            return None
        texts.append(found[0])
        groups.extend(found.groups())
        named |= found.groupdict()
    return "/".join(texts), groups, named


def oracle(objects, prefix):
    """All full matches of all keys; then each choice in turn, over the whole. Of each match its key and captures."""
    found = []
    for key in objects:
        parts, fits = key.split("/"), []
        if len(parts) != sum(len(segments_of(element)) for element in prefix):
            continue
        ends, at = [], 0
        for element in prefix:
            width = len(segments_of(element))
            fits.append(fit_of(element, parts[at : at + width]))
            at += width
            ends.append(at)
        if all(fit is not None for fit in fits):
            scores = [tuple(natural(text or "") for text in fit[1] or (fit[0],)) for fit in fits]
            captures = {name: text for fit in fits for name, text in fit[2].items()}
            found.append((key, parts, scores, ends, captures))
    for position, element in enumerate(prefix):
        if not found or element.multiple in (None, "all"):
            continue

        def rank(one, position=position, element=element):
            head = "/".join([*one[1][: one[3][position]], ""] if position < len(prefix) - 1 else one[1])
            score = objects[one[0]][1] if element.multiple in ("newest", "oldest") else one[2][position]
            return score, head

        chosen = (max if element.multiple in ("max", "newest") else min)(found, key=rank)
        found = [one for one in found if one[1][: one[3][position]] == chosen[1][: chosen[3][position]]]
    if prefix[-1].multiple == "all":
        found.sort(key=lambda one: (one[2][-1], one[0]))
    else:
        found.sort(key=lambda one: one[0])
    return [(key, captures) for key, _, _, _, captures in found]


@settings(max_examples=300)
@given(
    st.dictionaries(
        st.lists(names, min_size=1, max_size=4)
        .map("/".join)
        .filter(lambda key: key and not key.endswith("/")),
        st.tuples(st.just(1), st.integers(0, 3)),
        max_size=12,
    ),
    st.lists(exact | expressions, min_size=1, max_size=3),
    last_choices,
    st.integers(1, 4),
)
def test_the_search_finds_what_a_look_at_every_key_finds(objects, prefix, choice, page_size):
    """Level by level and page by page, the search comes to the same choice, captures and ambiguity as brute force."""
    prefix = [
        Element(one.match.replace("{}", str(at)), one.kind, one.multiple) for at, one in enumerate(prefix)
    ]
    prefix[-1] = Element(prefix[-1].match, prefix[-1].kind, choice)
    expected = oracle(objects, prefix)
    outcome, _ = find(objects, *prefix, page_size=page_size)
    if not expected:
        assert isinstance(outcome, Missing)
        return
    if choice is None and len(expected) > 1:
        assert isinstance(outcome, Ambiguous)
        assert outcome.keys == tuple(key for key, _ in expected[:10])
        return
    values = outcome.values["file"]
    values = values if choice == "all" else [values]
    assert [(one["key"], {name: one[name] for name in one.keys() - FIELDS}) for one in values] == expected


# ---- dependencies that are no files ----------------------------------------------------------------------


def ask(search, replies, objects=None):
    """Hold a conversation to its end; `replies` by question's kind. Gives the questions too."""
    asked = []
    while search.want is not None:
        if isinstance(search.want, Question):
            asked.append(search.want)
            search.feed(replies[search.want.kind])
        else:
            want = search.want
            search.feed(Page(listing(objects or {}, want.folder, want.start), False, "s3://lines"))
    return search.outcome, asked


def test_what_a_question_gave_is_used_by_what_refers_to_it():
    """In order of references, whatever their kinds: here a value names the file, and the file's name a param."""
    last = VariableDependency("last", "{who}", "out{n}")
    file = Dependency("file", "lines", (Element("{last.key}"),))
    market = AskedDependency(
        "market", "lib:is_open", {"of": ["{file.name}", {"n": "{n}"}], "s": "secret:A"}, 500
    )
    search = Search([market, file, last], {"who": "loads", "n": 7})
    outcome, asked = ask(
        search,
        {
            "variable": Reply(True, {"key": "f1"}, "of run 1", {"run_id": "1"}),
            "lib:is_open": Reply(True, None, "it is"),
        },
        {"f1": (1, 0)},
    )
    assert asked == [
        Question("variable", {"program": "loads", "output": "out7"}),
        Question("lib:is_open", {"of": ["f1", {"n": 7}], "s": "secret:A"}, 500),
    ]
    assert outcome.values["file"]["key"] == "f1"
    assert outcome.values["market"] is None
    assert outcome.evidence["last"].document() == {"kind": "variable", "run_id": "1", "why": "of run 1"}
    assert outcome.evidence["market"].document() == {"kind": "lib:is_open", "why": "it is"}


def test_what_a_reply_rests_on_is_said_by_the_kind():
    """So that one reply serves all who would hear the same."""
    kinds = ("variable", "infrastructure", "program", "lib:is_open")
    found = [Question(kind, {}).rests_on for kind in kinds]
    assert found == [(), (), ("run_id", "run_time", "is_due"), ("run_time", "folder")]


def test_a_reply_that_it_is_missing_makes_the_whole_try_missing():
    """With the reason, and with what was looked at."""
    wanted = [ProgramDependency("loads", "loads", -5), Dependency("file", "lines", (Element("a"),))]
    outcome, asked = ask(
        Search(wanted, {}), {"program": Reply(False, None, "it is running", {"run_id": "1"})}
    )
    assert asked == [Question("program", {"program": "loads", "offset_milliseconds": -5})]
    assert isinstance(outcome, Missing)
    assert (outcome.name, outcome.how_near) == ("loads", "it is running")
    assert outcome.evidence.document() == {"kind": "program", "run_id": "1", "why": "it is running"}


def test_a_default_stands_for_a_value_that_no_run_has_left():
    """The default is filled in, and the evidence says that it is one; a value that was left counts before it."""
    first = VariableDependency("total", "p", "sum", True, {"n": "{n}"})
    outcome, _ = ask(Search([first], {"n": 7}), {"variable": Reply(False, None, "no run has completed")})
    assert outcome.values == {"total": {"n": 7}}
    assert outcome.evidence["total"].why == "no run has completed, so it is the default"
    outcome, _ = ask(Search([first], {"n": 7}), {"variable": Reply(True, 3, "of run 1")})
    assert (outcome.values, outcome.evidence["total"].why) == ({"total": 3}, "of run 1")


def test_a_question_needs_names():
    """What is filled in for a program or an output is a text."""
    with pytest.raises(PatternError, match="the program of 'a' is int, not a name"):
        Search([ProgramDependency("a", "{n}")], {"n": 7})
    with pytest.raises(PatternError, match="the output of 'a' is list, not a name"):
        Search([VariableDependency("a", "p", "{n}")], {"n": []})


@pytest.mark.parametrize("value", ["secret:A", ["secret:A"], {"a": [1, "secret:A"]}])
def test_a_variable_can_name_no_secret(value):
    """Only what the program itself states is filled in: else whoever sets a variable could read secrets."""
    with pytest.raises(PatternError, match="the params of 'a': only the program itself may name a secret"):
        Search([AskedDependency("a", "lib:f", {"p": ["{v}"]}, 1)], {"v": value})
    harmless = Search([AskedDependency("a", "lib:f", {"p": "{v}", "q": 1}, 1)], {"v": {"a": ["secrets", 1]}})
    assert harmless.want == Question("lib:f", {"p": {"a": ["secrets", 1]}, "q": 1}, 1)
