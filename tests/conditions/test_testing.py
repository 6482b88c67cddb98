"""Conditions that look at the world: files, functions, servers, databases; and plug-ins."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import apsw
import pytest
from tests.commands.surroundings import Surroundings

from clew.buckets.searching import search
from clew.commands.performing import find as find_command
from clew.commands.performing import perform_prepared
from clew.conditions import SIGNATURES
from clew.conditions.infrastructure import look_at_infrastructure
from clew.conditions.interface import SIGNATURE, ConditionContext, condition
from clew.conditions.testing import CONDITIONS, UnknownCondition, find, test
from clew.core.program.signatures import Param
from clew.ports import BucketError

CODE = """
from clew.conditions.interface import condition, finding
from clew.core.program.signatures import Param

def fine(): return None
def yes(): return True
def no(n): return False
def says(): return 'three seats are missing'
def odd(): return 7
def raises(): raise ValueError('bad books')
async def later(n): return n == 3
async def raises_later(): raise ValueError('bad books')

@condition(about='Is even.', params={'n': Param(required=True)}, positional=('n',))
def even(context, params): return finding('even', holds=params['n'] % 2 == 0, message='is odd')
async def even_later(context, params): return even(context, params)
async def fails_later(context, params): raise LookupError('gone')
def wrong(context, params): return True
value = 1
"""


@pytest.fixture
def around(tmp_path, monkeypatch):
    (tmp_path / "checks_of_test.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(tmp_path))
    info = tmp_path / "plugged-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[clew.conditions]\nis_even = checks_of_test:even\n")
    yield Surroundings(tmp_path)
    sys.modules.pop("checks_of_test", None)


async def value_of(awaitable):
    return (await awaitable).value


def finding_of(around, name, params, **scope):
    """The finding, with real commands behind the conditions, as in an attempt."""
    with around.context(inputs=scope) as surroundings:

        def perform(name, prepared):
            result = perform_prepared(find_command(name)[1], prepared, surroundings)
            return value_of(result) if hasattr(result, "__await__") else result.value

        context = ConditionContext(
            scope=scope, search=lambda conversation: search(conversation, around.bucket), perform=perform
        )
        result = test(name, params, context)
        return asyncio.run(result) if hasattr(result, "__await__") else result


# ---- file_exists -----------------------------------------------------------------------------------------


def exists(around, *prefix, bucket="lines", **scope):
    return finding_of(around, "file_exists", {"bucket": bucket, "prefix": list(prefix)}, **scope)


def test_a_file_exists_when_its_pattern_finds_one(around):
    """Exact and regex elements, variables in them, folders, and more than one match all hold."""
    for key in ("out/r1/a.csv", "out/r1/b.csv"):
        around.bucket("lines").write(key, b"")
    found = exists(
        around, {"match": "out"}, {"match": "{run}"}, {"match": r"a\.csv$", "type": "regex"}, run="r1"
    )
    assert (found.verdict, found.compared) == ("held", {"found": ["out/r1/a.csv"]})
    assert exists(around, "out/r1/").verdict == "held"
    several = exists(around, "out/r1", {"match": r"\w{1}\.csv", "type": "regex"})
    assert (several.verdict, several.compared) == ("held", {"keys": ["out/r1/a.csv", "out/r1/b.csv"]})
    both = exists(around, "out/r1", {"match": ".*", "type": "regex", "multiple": "all"})
    assert both.compared == {"found": ["out/r1/a.csv", "out/r1/b.csv"]}


def test_a_file_that_is_missing_says_how_near_it_was(around):
    """What is not there is not held, with what the search came to."""
    around.bucket("lines").write("out/r1/a.csv", b"")
    finding = exists(around, "out/r1", {"match": "b"})
    assert (finding.verdict, finding.message) == ("not_held", "in `out/r1` no name matches `b`")


def test_a_bucket_that_does_not_answer_is_an_error(around):
    """A store's error is not the same as a file that is missing."""

    def refuse(conversation):
        raise BucketError("too many requests")

    context = ConditionContext(scope={}, search=refuse, perform=lambda name, params: None)
    finding = test("file_exists", {"bucket": "lines", "prefix": ["a"]}, context)
    assert (finding.verdict, finding.message) == ("error", "BucketError: too many requests")
    assert exists(around, "a", bucket="line").verdict == "error"


@pytest.mark.parametrize(
    ("prefix", "text"),
    [
        ("out", "the prefix is a list"),
        ([], "is missing"),
        ([7], "is a mapping with `match`"),
        ([{"type": "regex"}], "is a mapping with `match`"),
        ([{"match": "a", "kind": "regex"}], "not 'kind'"),
        ([{"match": "(", "type": "regex"}], "no regular expression"),
        ([{"match": "{nothing}"}], "nothing is called 'nothing'"),
    ],
)
def test_a_wrong_prefix_is_an_error(around, prefix, text):
    """A mistake in the pattern can't be told from a missing file otherwise."""
    finding = finding_of(around, "file_exists", {"bucket": "lines", "prefix": prefix})
    assert finding.verdict == "error"
    assert text in finding.message
    assert finding_of(around, "file_exists", {"bucket": 7, "prefix": ["a"]}).verdict == "error"


# ---- python ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "verdict", "text"),
    [
        ("fine", "held", ""),
        ("yes", "held", ""),
        ("no", "not_held", "checks_of_test:no returned false"),
        ("says", "not_held", "three seats are missing"),
        ("odd", "not_held", "checks_of_test:odd returned 7"),
        ("raises", "not_held", "checks_of_test:raises raised ValueError: bad books"),
        ("later", "held", ""),
        ("raises_later", "not_held", "checks_of_test:raises_later raised ValueError: bad books"),
        ("nothing", "error", "has no 'nothing'"),
    ],
)
def test_a_function_says_what_is_wrong(around, function, verdict, text):
    """None and True hold; a text is what is wrong; a function that is not there can't be asked."""
    finding = finding_of(around, "python", [f"checks_of_test:{function}"], n=3)
    assert finding.verdict == verdict
    assert text in finding.message


def test_a_function_that_needs_more_than_there_is_can_not_be_asked(around):
    """A parameter without a value is an error and no failed validation."""
    assert finding_of(around, "python", ["checks_of_test:no"]).verdict == "error"
    given = finding_of(around, "python", {"function": "checks_of_test:later", "with": {"n": "{m}"}}, m=4)
    assert (given.verdict, given.compared["with"]) == ("not_held", {"n": 4})


# ---- http ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def address():
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            content = json.dumps({"seats": [1, 2], "state": {"open": True, "n": 1}}).encode()
            self.send_response(int(self.path[1:]))
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("path", "params", "verdict"),
    [
        ("200", {}, "held"),
        ("404", {}, "not_held"),
        ("404", {"status": 404}, "held"),
        ("404", {"status": [200, 404]}, "held"),
        ("503", {}, "error"),
        ("503", {"status": 503}, "held"),
        ("200", {"status": 404}, "not_held"),
        ("200", {"status": "ok"}, "error"),
        ("200", {"json": {"state": {"open": "{is_open}"}}}, "held"),
        ("200", {"json": {"state": {"open": 1}}}, "not_held"),
        ("200", {"json": {"seats": [1, 2]}}, "held"),
        ("200", {"json": {"seats": [1]}}, "not_held"),
        ("200", {"json": {"seats": {"a": 1}}}, "not_held"),
        ("200", {"json": {"rooms": None}}, "not_held"),
        ("200", {"expression": "status == 200 && size(json.seats) == 2"}, "held"),
        ("200", {"expression": "text != null"}, "not_held"),
        ("200", {"expression": "nothing"}, "error"),
        ("200", {"timeout": "none"}, "error"),
    ],
)
def test_a_server_answers_as_expected(around, address, path, params, verdict):
    """Status, parts of the JSON and an expression can be asked for; a server in trouble can't tell."""
    finding = finding_of(around, "http", {"url": f"{address}/{path}", **params}, is_open=True)
    assert finding.verdict == verdict, finding


def test_a_server_that_is_not_there_is_an_error(around):
    """No answer says nothing about the condition."""
    assert finding_of(around, "http", ["http://127.0.0.1:1/"]).verdict == "error"


# ---- infrastructure --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "verdict"), [("200", "held"), ("404", "held"), ("503", "not_held")])
def test_infrastructure_is_there_when_it_answers(around, address, path, verdict):
    """An answer is an answer, but for one that says that it can't; the finding has the address and the status."""
    finding = finding_of(around, "infrastructure", {"url": "{base}/" + path}, base=address)
    assert (finding.verdict, finding.compared) == (
        verdict,
        {"address": f"{address}/{path}", "status": int(path)},
    )
    assert finding.message == ("" if verdict == "held" else f"{address}/503: it was answered with 503")


def test_infrastructure_is_there_when_it_takes_a_connection(around, address):
    """A host and a port are enough for what speaks no HTTP; a rehearsal leads to what stands in for it."""
    port = int(address.rpartition(":")[2])
    finding = finding_of(around, "infrastructure", {"host": "127.0.0.1", "port": port})
    assert (finding.verdict, finding.compared) == ("held", {"address": f"tcp://127.0.0.1:{port}"})
    led = look_at_infrastructure({"host": "::1", "port": 1}, lambda at: f"tcp://127.0.0.1:{port}#{at}")
    assert (led.verdict, led.compared) == ("held", {"address": "tcp://[::1]:1"})


@pytest.mark.parametrize("params", [{"url": "http://127.0.0.1:1/"}, {"host": "127.0.0.1", "port": 1}])
def test_infrastructure_that_does_not_answer_is_not_there_yet(around, params):
    """Other than for the condition `http` that is no error: it is what was asked."""
    finding = finding_of(around, "infrastructure", params)
    assert (finding.verdict, "nothing answers" in finding.message) == ("not_held", True)


@pytest.mark.parametrize(
    ("name", "params", "text"),
    [
        ("infrastructure", {"url": "{base}"}, "url: 'ftp://x' is no address; it begins with http"),
        ("infrastructure", {"host": "a"}, "host and port go together"),
        ("resource_available", {"cores": "{base}"}, "cores: 'ftp://x' is no number of cores"),
        ("resource_available", {"disk": 1, "folder": "/nowhere/at/all"}, "FileNotFoundError"),
    ],
)
def test_what_was_filled_in_is_checked_again(around, name, params, text):
    """What only a run can know is told then."""
    finding = finding_of(around, name, params, base="ftp://x")
    assert (finding.verdict, text in finding.message) == ("error", True), finding


# ---- resource_available ----------------------------------------------------------------------------------


def test_resources_are_compared_with_what_is_free(around):
    """All that is asked for must be free; the finding has both, and the message what is short of it."""
    finding = finding_of(around, "resource_available", {"memory": "1 kB", "disk": 1, "folder": "{f}"}, f="/")
    assert (finding.verdict, finding.compared["wanted"]) == ("held", {"memory": 1_000, "disk": 1})
    assert min(finding.compared["free"].values()) > 1_000
    finding = finding_of(around, "resource_available", {"cores": 100_000, "memory": "900 PB", "disk": 1})
    assert finding.verdict == "not_held"
    cores, memory = finding.message.split("; ")
    assert cores.endswith("of 100000 cores are free")
    assert memory.endswith(" of 900000000000000000 bytes of memory are free")


# ---- sql -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "verdict"),
    [
        ({"statement": "SELECT count(*) FROM t", "equals": 2}, "held"),
        ({"statement": "SELECT count(*) FROM t", "equals": "{n}"}, "not_held"),
        ({"statement": "SELECT a FROM t WHERE a = {n}", "equals": "{n}"}, "not_held"),
        ({"statement": "SELECT a FROM t", "equals": 1}, "not_held"),
        ({"statement": "SELECT a FROM t ORDER BY a", "rows": [{"a": 1}, {"a": 2}]}, "held"),
        ({"statement": "SELECT a, 5 AS b FROM t ORDER BY a", "rows": [[1, 5], [2, 5]]}, "held"),
        ({"statement": "SELECT a FROM t ORDER BY a", "rows": [{"a": 1}]}, "not_held"),
        ({"statement": "SELECT a FROM t ORDER BY a", "rows": [{"a": 2}, {"a": 1}]}, "not_held"),
        ({"statement": "SELECT a FROM t", "rows": 2}, "error"),
        ({"statement": "SELECT a FROM t", "expression": "count == 2 && rows.all(r, r.a > 0)"}, "held"),
        ({"statement": "SELECT a FROM t WHERE a > 1"}, "held"),
        ({"statement": "SELECT a FROM t WHERE a > 9"}, "not_held"),
        ({"statement": "SELECT a FROM t", "equals": 1, "rows": []}, "error"),
        ({"statement": "DELETE FROM t"}, "error"),
        ({"statement": "SELECT nothing FROM t"}, "error"),
    ],
)
def test_a_query_answers_as_expected(around, params, verdict):
    """One value, all rows, an expression, or just any row; a query can't change anything."""
    connection = apsw.Connection(str(around.folder / "data.db"))
    connection.execute("CREATE TABLE t (a); INSERT INTO t VALUES (1), (2)")
    finding = finding_of(around, "sql", {"database": "sqlite:///data.db", **params}, n=3)
    assert finding.verdict == verdict, finding
    assert connection.execute("SELECT count(*) FROM t").get == 2
    connection.close()


# ---- names -----------------------------------------------------------------------------------------------


def test_every_signature_has_its_function():
    """All that is built in and not pure can be found; pure conditions are tested all the same."""
    impure = {name for name, signature in SIGNATURES.items() if not signature.is_pure}
    assert CONDITIONS.keys() == impure
    for name in impure:
        assert find(name)[0] is SIGNATURES[name]
    context = ConditionContext(scope={"a": 1}, search=None, perform=None)
    assert test("equals", ["{a}", 1], context).verdict == "held"


@pytest.mark.parametrize(
    ("name", "params", "verdict", "text"),
    [
        ("checks_of_test:even", ["{n}"], "held", ""),
        ("is_even", [3], "not_held", "is odd"),
        ("is_even", [], "error", "even needs 'n'"),
        ("checks_of_test:even_later", {"n": 3}, "not_held", "is odd"),
        ("checks_of_test:fails_later", {}, "error", "LookupError: gone"),
        ("checks_of_test:wrong", {}, "error", "gave bool, not a Finding"),
        ("checks_of_test:nothing", {}, "error", "there is no condition"),
        ("checks_of_test:value", {}, "error", "is no function"),
        ("nowhere_at_all:f", {}, "error", "there is no condition"),
        ("file_exist", {}, "error", "did you mean 'file_exists'?"),
        ("zzz", {}, "error", "as module:function"),
    ],
)
def test_projects_and_packages_bring_their_own(around, name, params, verdict, text):
    """A function `module:function` or an entry point is a condition; what goes wrong in it can't be told."""
    finding = finding_of(around, name, params, n=4)
    assert finding.verdict == verdict
    assert text in finding.message


def test_an_unknown_condition_is_told():
    """Who looks for one that does not exist hears so."""
    with pytest.raises(UnknownCondition):
        find("zzz")


def test_a_function_carries_what_it_takes():
    """The decorator says params, or that any are taken."""

    @condition(about="Any.", name="other")
    def anything(context, params):
        return None

    @condition(about="One.", params={"a": Param()})
    def one(context, params):
        return None

    assert (getattr(anything, SIGNATURE).name, getattr(anything, SIGNATURE).open_params) == ("other", True)
    assert (getattr(one, SIGNATURE).name, getattr(one, SIGNATURE).open_params) == ("one", False)
