"""`clew rehearse` names each rollback that does not bring the world back, and touches nothing of the real one."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from examples.trip import booking_service
from tests.surfaces.calling import Person, line_from

EXAMPLES = Path(__file__).parents[2] / "examples"


def rehearse(person: Person, *words: str, code: int = 0) -> Any:
    return person.clew("rehearse", *words, "--format", "json", code=code).document


def refusal(person: Person, *words: str) -> str:
    """What is said when nothing is run."""
    done = person.clew("rehearse", *words, code=2)
    assert done.out == ""
    assert "Traceback" not in done.err
    return done.err


def faults(document: Any) -> dict[str, set[str]]:
    """The stages whose rollbacks are at fault, and in which scenarios."""
    found: dict[str, set[str]] = {}
    for fault in document["faults"]:
        failed = fault["scenario_stage"]
        scenario = f"{failed}: {fault['scenario_kind']}" if failed else fault["scenario_kind"]
        found.setdefault(fault["stage"], set()).add(scenario)
    return found


def left(document: Any, stage: str) -> set[str]:
    """What the rollback of that stage left, in any scenario."""
    changes = [change for fault in document["faults"] if fault["stage"] == stage for change in fault["left"]]
    return {change["text"] for change in changes}


# ---- the trip --------------------------------------------------------------------------------------------


@pytest.fixture
def real_service(tmp_path: Path) -> Iterator[str]:
    """A service that is no double, with a booking on its books."""
    with booking_service.running(tmp_path / "real.db") as url:
        body = json.dumps({"traveller": "Minos", "day": "2026-07-14", "cents": 5}).encode()
        request = urllib.request.Request(f"{url}/hotels", body, {"Idempotency-Key": "minos"}, method="POST")
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 201
        yield url


def in_the_world(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file below the folder, its bytes and when it was changed."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_trip_brings_its_world_back(person: Person, real_service: str) -> None:
    """Each stage and each rollback of the trip may go wrong, and the books are as before; the books and the log of
    the real service, and the real store, are byte for byte what they were."""
    person.run(
        str(EXAMPLES / "trip/trip.yaml"),
        *("--var", "traveller=Ariadne", "--var", "day=2026-07-14", "--var", f"service={real_service}"),
    )
    before = in_the_world(person.folder)
    document = rehearse(person, str(EXAMPLES / "trip"))
    assert in_the_world(person.folder) == before
    assert document["is_proved"]
    assert (document["faults"], document["residue"], document["not_rehearsed"]) == ([], [], [])
    assert len(document["scenarios"]) == 5 * 3 + 5
    for stage in document["stages"]:
        assert {mark["mark"] for mark in stage["marks"]} == {"back"}
        own = [mark["kind"] for mark in stage["marks"] if mark["stage"] == stage["name"]]
        assert own == ["before", "after", "crash"]
        rollbacks = [mark["kind"] for mark in stage["marks"] if not mark["stage"]]
        assert rollbacks == ["once", "before", "after", "crash", "twice"]


PLANTED = {
    # Does nothing.
    'def cancel_hotel(service: str, idempotency_key: str) -> None:\n    _cancelled(service, "hotels", idempotency_key)':
    "def cancel_hotel(service: str, idempotency_key: str) -> None:\n    return None",
    # Is not idempotent: what it finds cancelled it takes for lost, and books again.
    '    _cancelled(service, "cars", idempotency_key)':
    '    if _answer(service, "DELETE", "cars", idempotency_key)["outcome"] == "cancelled_before":\n'
    '        _sold(service, "cars", f"{idempotency_key}-again", "Ariadne", "2026-07-14", 1)',
    # Is wrong only when nobody knows how the stage ended.
    "def give_money_back(service: str, idempotency_key: str) -> None:\n":
    "def give_money_back(service: str, idempotency_key: str, outcome: str) -> None:\n"
    '    if outcome == "unknown":\n        return\n',
}  # fmt: skip


def copy_of_the_trip(person: Person, *planted: str) -> str:
    """The trip in a folder of its own, with faults in its rollbacks."""
    shutil.copytree(EXAMPLES / "trip", person.folder / "copy", ignore=shutil.ignore_patterns("__pycache__"))
    code, program = person.folder / "copy" / "trip.py", person.folder / "copy" / "trip.yaml"
    text = code.read_text()
    for sound in planted:
        assert text.count(sound) == 1, sound
        text = text.replace(sound, PLANTED[sound])
    code.write_text(text)
    told = 'function: "trip:give_money_back", with: {'
    if "outcome: str" in text:
        program.write_text(program.read_text().replace(told, f'{told}outcome: "{{outcome}}", '))
    return "copy"


HOTEL = {
    '+ booking/books bookings: {"cents": 54000, "day": "2026-07-14", "kind": "hotels", '
    '"reference": "HOTEL-000003", "traveller": "Ariadne"}',
    '+ booking/books taken: {"day": "2026-07-14", "kind": "hotels", "taken": 1}',
}
PAYMENT = {"+ booking/books money.Ariadne: -112000", "+ booking/books money.agency: 112000"}
CAR = {'+ booking/books taken: {"day": "2026-07-14", "kind": "cars", "taken": 1}'}


def test_three_planted_faults_are_named(person: Person) -> None:
    """A rollback that does nothing, one that is not idempotent, and one that is wrong only when the outcome is unknown
    are each named, in the scenarios in which they show and no others, with what they left."""
    folder = copy_of_the_trip(person, *PLANTED)
    before = in_the_world(person.folder)
    document = rehearse(person, folder, code=1)
    assert in_the_world(person.folder) == before
    found = faults(document)
    assert set(found) == {"reserve_hotel", "reserve_car", "take_payment"}
    assert {"reserve_hotel: after", "reserve_hotel: crash", "book_excursion: before", "once"} <= found[
        "reserve_hotel"
    ]
    assert "reserve_hotel: before" not in found["reserve_hotel"]
    assert found["reserve_car"] == {"after", "crash", "twice"}
    assert found["take_payment"] == {"take_payment: crash"}
    assert left(document, "reserve_hotel") >= HOTEL
    assert left(document, "take_payment") >= PAYMENT
    assert left(document, "reserve_car") >= CAR


@pytest.mark.soak
@pytest.mark.parametrize(
    ("planted", "stage"),
    list(zip(PLANTED, ["reserve_hotel", "reserve_car", "take_payment"], strict=True)),
)
def test_each_planted_fault_is_named_by_itself(person: Person, planted: str, stage: str) -> None:
    """Each fault alone is found, and nothing else is."""
    assert set(faults(rehearse(person, copy_of_the_trip(person, planted), code=1))) == {stage}


# ---- files, databases, doubles ---------------------------------------------------------------------------

SHOP = """
name: shop
variables: {database: "sqlite:///shop.db", mail: "https://mail.example"}
stages:
  - name: Find orders
    dependencies:
      orders:
        bucket: data
        prefix: [{match: in}, {match: 'orders_(?P<day>\\d+)\\.csv$', type: regex, multiple: newest}]
    outputs: [text]
    execute: {command: sql, params: {database: "{database}", statement: "SELECT {orders.day} AS text"}}
    rollback: none
  - name: Take stock
    execute:
      - {command: sql, params: {database: "{database}", statement: "UPDATE stock SET pieces = pieces - 1"}}
      - {command: sql, params: ["{database}", "INSERT INTO orders VALUES ({run_id}, {orders.day})"]}
    rollback:
      command: sql
      params:
        database: "{database}"
        statements:
          - UPDATE stock SET pieces = pieces + (SELECT count(*) FROM orders WHERE run_id = {run_id})
          - DELETE FROM orders WHERE run_id = {run_id}
  - name: Write index
    execute:
      - {command: publish_file, params: ["data/out/{run_name}.txt", "{orders}"]}
      - {command: publish_file, params: ["data/index.txt", "the last is {run_name}"]}
    rollback: {command: delete_file, params: ["data/out/{run_name}.txt"], restore: ["data/index.txt"]}
  - name: Look up the post office
    execute: {command: http, params: [GET, "{mail}/"]}
    validate: [{condition: http, params: ["https://mail.example/"]}]
    rollback: none
  - name: Send letter
    execute: {command: shell, params: [mail, "{run_name}"]}
    rollback: {command: shell, params: [recall, "{run_name}"]}
"""  # fmt: skip

SHOP_DOUBLES = """
[[doubles]]
stage = "Send letter"
command = "shell"
work = "execute"
leaves = "a letter about {params.command[1]}"

[[doubles]]
stage = "Send letter"
command = "shell"
work = "rollback"
takes = "a letter about {params.command[1]}"
"""


@pytest.fixture
def shop(person: Person) -> str:
    """A shop with stock, an index that it overwrites, and letters that a double sends. Its rollback of the stock is
    wrong where the stage was lost between its two statements."""
    (person.folder / "data" / "in").mkdir(parents=True)
    (person.folder / "data" / "in" / "orders_7.csv").write_text("7\n")
    (person.folder / "data" / "index.txt").write_text("nothing yet\n")
    with closing(sqlite3.connect(person.folder / "shop.db")) as database:
        database.executescript(
            "PRAGMA journal_mode = WAL; CREATE TABLE stock (pieces INTEGER); INSERT INTO stock VALUES (5);"
            "CREATE TABLE orders (run_id, day)"
        )
    person.write("clew.toml", '[buckets]\ndata = "file:data"\n')
    person.write("shop.rehearsal.toml", f"{SHOP_DOUBLES}{POST_OFFICE}")
    return person.write("shop.yaml", SHOP)


POST_OFFICE = """
[servers.post]
start = ["{python}", "-m", "http.server", "{port}", "--bind", "127.0.0.1", "--directory", "{files}"]
stands_for = ["https://mail.example"]
"""


def test_what_a_crash_halfway_leaves_is_shown(person: Person, shop: str) -> None:
    """Files, rows and what doubles keep are all compared; a stage that is lost between its commands is too; and none of
    the real ones is touched."""
    before = in_the_world(person.folder)
    document = rehearse(person, shop, "--stage", "Take stock", "--stage", "Write index", code=1)
    assert in_the_world(person.folder) == before
    assert faults(document) == {"Take stock": {"Take stock: halfway"}}
    assert left(document, "Take stock") == {
        '- row shop.db/stock: {"pieces": 5}', '+ row shop.db/stock: {"pieces": 4}'
    }  # fmt: skip
    halfway = [mark for mark in document["stages"][2]["marks"] if mark["kind"] == "halfway" and mark["stage"]]
    assert [(mark["stage"], mark["mark"]) for mark in halfway if mark["stage"] == "Write index"] == [
        ("Write index", "back")
    ]


def test_what_a_double_is_left_with_is_shown(person: Person, shop: str) -> None:
    """A rollback that takes back another letter than was sent leaves the one that was."""
    text = (person.folder / shop).read_text()
    person.write(shop, text.replace('[recall, "{run_name}"]', '[recall, "{run_id}"]'))
    document = rehearse(person, shop, "--stage", "Send letter", code=1)
    assert set(faults(document)) == {"Send letter"}
    assert all(text.startswith("+ a letter about 20") for text in left(document, "Send letter"))


def test_the_report_says_it_in_words(person: Person, shop: str) -> None:
    """The text names the stage, the scenario and the difference, with a mark and a word for each that was played."""
    done = person.clew("rehearse", shop, "--stage", "Take stock", code=1)
    assert (
        "the rollback of 'Take stock' does not bring the world back, when 'Take stock' is lost after 1 command"
        in (done.out)
    )
    assert '    + row shop.db/stock: {"pieces": 4}' in done.out
    assert "LOST HALFWAY" in done.out
    assert "✓ back" in done.out and "✗ left" in done.out
    assert "nothing outside the scratch folder was touched" in done.err


def test_the_scratch_folder_is_kept_when_asked(person: Person, shop: str) -> None:
    """With --keep the scenarios' files, stores and logs are there afterwards, in the folder that is named."""
    kept = Path(rehearse(person, shop, "--stage", "Send letter", "--keep")["kept"])
    try:
        assert (kept / "001-once" / "clew.db").exists()
        assert (kept / "001-once" / "buckets" / "data" / "index.txt").read_text() == "nothing yet\n"
        assert next((kept / "001-once" / "marks").iterdir(), None) is None
    finally:
        shutil.rmtree(kept)


def test_an_earlier_run_gives_what_has_no_double(person: Person) -> None:
    """With --recorded a command that has no double gives what it gave in that run, and is not run again."""
    person.write("counted.yaml", COUNTED.replace("FOLDER", str(person.folder)))
    run = person.run("counted.yaml")
    assert run["variables"]["count"] == "12"
    (person.folder / "counted").unlink()
    assert "may reach anything" in refusal(person, "counted.yaml")
    document = rehearse(person, "counted.yaml", "--recorded", run["run_id"])
    assert document["is_proved"]
    assert not (person.folder / "counted").exists()


COUNTED = """
name: counted
stages:
  - name: Count
    outputs: {count: {from: stdout}}
    execute: {command: shell, params: {shell: true, command: "echo 12; touch FOLDER/counted"}}
    rollback: {command: shell, params: [rm, -f, FOLDER/counted]}
    validate: [{condition: equals, params: ["{count}", "12"]}]
"""


# ---- functions, residue ----------------------------------------------------------------------------------

LEAVING = """
import os

def leave(files, name):
    open(f"{files}/{name}", "w").close()

def remove(files, name):
    os.unlink(f"{files}/{name}")

def asks():
    return {"home": os.path.expanduser("~"), "token": os.environ["TOKEN"], "database": os.environ["DATABASE"]}
"""

KINDS = """
name: kinds
requests: {files: {type: string}}
stages:
  - name: Says nothing
    inputs: [files]
    execute: {command: python, params: {function: "leaving:leave", with: {files: "{files}", name: undeclared}}}
  - name: Says none
    inputs: [files]
    execute: {command: python, params: {function: "leaving:leave", with: {files: "{files}", name: none}}}
    rollback: none
  - name: Removes
    inputs: [files]
    after: [Says nothing]
    execute: {command: python, params: {function: "leaving:leave", with: {files: "{files}", name: removed}}}
    rollback:
      command: python
      params: {function: "leaving:remove", with: {files: "{files}", name: removed}}
  - name: Is passed over
    when: files == ''
    execute: {command: shell, params: [true]}
    rollback: none
  - name: Cannot be undone
    inputs: [files]
    after: [Removes]
    execute: {command: python, params: {function: "leaving:leave", with: {files: "{files}", name: for-good}}}
    rollback: impossible
"""  # fmt: skip


def test_what_is_declared_is_no_fault(person: Person) -> None:
    """What stages leave that declare no rollback, `none` or `impossible` is told as such; a rollback that fails where
    there is nothing to undo, or nothing any more, is a fault, though the world is as it was."""
    person.write("leaving.py", LEAVING)
    person.write("kinds.rehearsal.toml", 'as_is = ["python", "shell"]\n[variables]\nfiles = "{files}"\n')
    document = rehearse(person, person.write("kinds.yaml", KINDS), code=1)
    assert {one["stage"]: (one["declared"], [change["text"][:20] for change in one["left"]])
            for one in document["residue"]} == {
        "Says nothing": ("undeclared", ["+ file files/undecla"]),
        "Says none": ("none", ["+ file files/none: 0"]),
        "Cannot be undone": ("impossible", ["+ file files/for-goo"]),
    }  # fmt: skip
    assert faults(document) == {"Removes": {"Removes: before", "after", "crash", "twice"}}
    assert document["faults"][0]["error"]["kind"] == "FileNotFoundError"
    assert [one["what"] for one in document["not_rehearsed"]] == ["stage 'Is passed over'"]


ASKING = """
name: asking
stages:
  - name: Ask
    outputs: [home, token, database]
    environment: {TOKEN: "secret:token", DATABASE: "sqlite:///asking.db"}
    dependencies: {who: {kind: input, schema: {type: string}}}
    execute: {command: python, params: {function: "leaving:asks", with: {}}}
    validate: [{condition: expression, params: ["home != '' && who == 'Theseus'"]}]
    rollback: none
"""


def test_real_secrets_and_homes_stay_where_they_are(person: Person) -> None:
    """A secret is made up, `~` is an empty folder, the environment leads to copies, and an input is what the rehearsal
    file gives."""
    person.write("leaving.py", LEAVING)
    person.write("clew.toml", '[secrets]\ntoken = {environment = "REAL_TOKEN"}\n')
    asking = person.write("asking.yaml", ASKING)
    person.write("asking.rehearsal.toml", 'as_is = ["python"]\n')
    assert "give who under [inputs] in the rehearsal file" in refusal(person, asking)
    person.write("asking.rehearsal.toml", 'as_is = ["python"]\n[inputs]\nwho = "Theseus"\n')
    kept = Path(rehearse(person, asking, "--keep")["kept"])
    try:
        with closing(sqlite3.connect(kept / "001-once" / "clew.db")) as store:
            said = "".join(str(row) for row in store.execute("SELECT content FROM payloads"))
        assert str(kept / "001-once" / "home") in said
        assert f"sqlite:///{kept}/001-once/databases/asking.db" in said
        assert "REAL_TOKEN" not in said
    finally:
        shutil.rmtree(kept)


BLOCKING = """
name: blocking
stages:
  - name: Block
    execute: {command: shell, params: [cat, FOLDER/never]}
    rollback: none
"""


def test_what_takes_too_long_is_ended(person: Person) -> None:
    """A scenario has its time; a program that is not through by then is not rehearsed."""
    person.fifo("never")
    person.write("blocking.rehearsal.toml", 'as_is = ["shell"]\n')
    blocking = person.write("blocking.yaml", BLOCKING.replace("FOLDER", str(person.folder)))
    assert "is not through after 0.5 seconds" in refusal(person, blocking, "--time", "500 milliseconds")


def test_an_interrupted_rehearsal_leaves_nothing(person: Person) -> None:
    """Ctrl-C ends what runs, and the scratch folder goes."""
    begun, _ = person.fifo("begun"), person.fifo("never")
    person.write("blocking.rehearsal.toml", 'as_is = ["shell"]\n')
    text = BLOCKING.replace(
        "[cat, FOLDER/never]", '{shell: true, command: "pwd > FOLDER/begun; cat FOLDER/never"}'
    )
    process = person.begin(
        "rehearse", person.write("blocking.yaml", text.replace("FOLDER", str(person.folder)))
    )
    scratch = Path(line_from(begun)).parents[2]
    assert scratch.name.startswith("clew-rehearsal-")
    process.send_signal(signal.SIGINT)
    done = person.end(process)
    assert (done.code, done.out) == (130, "")
    assert "nothing outside the scratch folder was touched" in done.err
    assert not scratch.exists()


ITEMS = """
name: items
stages:
  - name: Write each
    for_each: [a, b]
    execute: {command: publish_file, params: ["data/out/{item}.txt", "{item}"]}
    rollback: {command: delete_file, params: ["data/out/a.txt"], to: Write each}
"""


def test_items_are_rehearsed(person: Person) -> None:
    """A stage that is done for each of some values is told by its own name, with what each of its items left."""
    document = rehearse(person, person.write("items.yaml", ITEMS), "--bucket", "data=file:data", code=1)
    assert {
        (change["sign"], change["place"]) for fault in document["faults"] for change in fault["left"]
    } == {("+", "data/out/b.txt")}
    assert {fault["stage"] for fault in document["faults"]} == {"Write each"}


# ---- what is refused -------------------------------------------------------------------------------------

REACHING = """
name: reaching
variables: {database: "postgresql://shop.example/orders", page: "https://shop.example/page"}
stages:
  - name: Run
    execute: {command: shell, params: [touch, touched]}
    environment: {QUEUE: "amqp://queue.example"}
  - name: Call
    execute: {command: python, params: ["reaching:call"]}
    rollback: {command: shell, params: [recall]}
  - name: Ask
    execute: {command: http, params: [GET, "https://shop.example/{run_id}"]}
    validate: [{condition: http, params: ["{page}"]}]
  - name: Store
    execute: {command: sql, params: ["{database}", "SELECT 1"]}
  - name: Put
    execute: {command: publish_file, params: ["s3://lines/{run_name}.txt", "text"]}
    rollback: {restore: ["s3://lines/kept"]}
  - name: Find
    dependencies: {found: {bucket: "s3://lines", prefix: [{match: a}]}}
    execute: {command: wait, params: [0 seconds]}
"""


def test_what_has_no_double_is_named(person: Person) -> None:
    """Every stage that may reach outside is named, with what it would reach and how a double is declared."""
    said = refusal(person, person.write("reaching.yaml", REACHING))
    for line in (
        "the variable 'database' leads to 'postgresql://shop.example/orders'",
        "the variable 'page' leads to 'https://shop.example/page'",
        "stage 'Run', environment QUEUE, leads to 'amqp://queue.example'",
        "stage 'Run', execute: 'shell' may reach anything, and has no double",
        "stage 'Call', execute: python reaching:call may reach anything",
        "stage 'Call', rollback: 'shell' may reach anything",
        "stage 'Ask', execute: http leads to 'https://shop.example/{run_id}'",
        "stage 'Ask', validate: http leads to 'https://shop.example/page'",
        "stage 'Store', execute: sql leads to 'postgresql://shop.example/orders'",
        "stage 'Put', execute leads to 's3://lines/{run_name}.txt'",
        "stage 'Put', restore, leads to 's3://lines/kept'",
        "stage 'Find', dependency 'found', leads to 's3://lines'",
        "reaching.rehearsal.toml",
        "[[doubles]]",
    ):
        assert line in said, said
    assert not (person.folder / "touched").exists()


def test_what_only_a_run_finds_out_is_refused_then(person: Person) -> None:
    """An address that a stage gives is not known beforehand; the attempt that would go there does not."""
    person.write("later.rehearsal.toml", 'as_is = ["shell"]\n')
    text = """
name: later
stages:
  - name: Say where
    outputs: {where: {from: stdout}}
    execute: {command: shell, params: [printf, "http:%s", "//127.0.0.1:9/books"]}
    rollback: none
  - name: Go there
    execute: {command: http, params: [GET, "{where}"]}
    rollback: none
"""
    said = refusal(person, person.write("later.yaml", text))
    assert "stage 'Go there': no server stands in for 'http://127.0.0.1:9/books'" in said


@pytest.mark.parametrize(
    ("declared", "words", "said"),
    [
        ("", ["--stage", "Count them"], "there is no stage 'Count them'; did you mean 'Count'?"),
        ("", ["--limit", "plenty"], "must be a size"),
        ("", ["--time", "soon"], "--time soon"),
        ("", ["--time", "0 seconds"], "must be some time"),
        ("", ["--recorded", "nothing"], "there is no store here"),
        ("asis = []", [], "unknown field `asis`"),
        ("as_is = 'shell'", [], "Expected `array`"),
        ("as_is = [", [], "this is no TOML"),
        ("[variables]\nwho = 1", ["--var", "who=2"], "says what 'who' is in a rehearsal"),
        ("[variables]\nwho = '{nobody}'", [], "variables.who: nothing is called 'nobody'"),
        ("[servers.a-b]\nstart = ['x']", [], "a server's name is a word"),
        ("[servers.post]\nstart = []", [], "must be a command"),
        ("[[doubles]]\ncommand = 'shell'\nstage = 'Cuont'", [], "did you mean 'Count'?"),
        ("[[doubles]]\ncommand = 'shell'\nwork = 'undo'", [], "none of execute, rollback, validate"),
        ("as_is = ['shell']\n[servers.post]\nstart = ['false']", [], "the server 'post' did not start"),
        (
            "as_is = ['shell']\n[variables]\nwho = 1\n[[doubles]]\ncommand = 'shell'\ngives = 1",
            [],
            "takes no variable 'who'",
        ),
        ("[[doubles]]\ncommand = 'shell'\nstdout = '13'", [], "does not get through"),
    ],
)
def test_a_wrong_call_is_told(person: Person, declared: str, words: list[str], said: str) -> None:
    """What is wrong with the call or the rehearsal file is said, with what would be right, and nothing is run."""
    person.write("counted.rehearsal.toml", declared)
    program = person.write("counted.yaml", COUNTED.replace("FOLDER", str(person.folder)))
    assert said in refusal(person, program, *words)
    assert not (person.folder / "counted").exists()


def test_what_is_too_large_is_not_copied(person: Person, shop: str) -> None:
    """Buckets and databases beyond the limit are refused, and how more is allowed is said."""
    said = refusal(person, shop, "--limit", "5")
    assert "more than 5 bytes" in said
    assert "--limit" in said


def test_missing_data_is_told(person: Person, shop: str) -> None:
    """Where the copy lacks what a stage waits for, that is said at once."""
    (person.folder / "data" / "in" / "orders_7.csv").unlink()
    said = refusal(person, shop)
    assert "stage 'Find orders': orders: " in said
    assert "in the copy of the buckets that does not change" in said


def test_a_folder_says_which_program(person: Person) -> None:
    """A folder's only program is meant, or of several the only one with a rehearsal file; else one must be named."""
    assert "there is no program file here" in refusal(person, ".")
    person.write("one.yaml", "name: one\nstages: [{name: Wait, execute: {command: wait, params: [1 day]}}]\n")
    assert rehearse(person, ".")["program"] == "one"
    person.write("two.yaml", "name: two\nstages: [{name: Wait, execute: {command: wait, params: [1 day]}}]\n")
    assert "several programs here: one.yaml, two.yaml" in refusal(person, ".")
    person.write("two.rehearsal.toml", "")
    assert rehearse(person, ".")["program"] == "two"


TAKING_UP = """
name: taking-up
stages:
  - name: Take up
    dependencies:
      last: {kind: variable, program: leaves, output: said, default: nothing}
      room: {kind: resource, memory: 1 kB}
      ledger: {kind: infrastructure, url: "http://ledger.example/"}
      market: {kind: "markets:is_open"}
    execute: {command: publish_file, params: ["lines/{market}", "{last} {ledger.address}"]}
    rollback: {command: delete_file, params: ["lines/{market}"]}
"""


LEAVES = """
name: leaves
stages: {Leave: {execute: {command: shell, params: [echo, left]}, outputs: {said: {from: stdout}}}}
"""


def test_what_other_runs_have_left_is_read_and_plug_ins_are_not_run(person: Person) -> None:
    """A dependency on another program reads the real store; an address needs a double, and a plug-in a value."""
    (person.folder / "data").mkdir()
    person.write("clew.toml", '[buckets]\nlines = "file:data"\n')
    name = person.write("taking-up.yaml", TAKING_UP)
    refused = refusal(person, name)
    assert (
        "dependency ledger: infrastructure leads to 'http://ledger.example/', and nothing stands in"
        in refused
    )
    assert "dependency market: markets:is_open may reach anything; what it gives can be said under" in refused
    person.write("taking-up.rehearsal.toml", '[inputs]\nmarket = "open"\nledger = {address = "here"}\n')
    assert rehearse(person, name)["faults"] == []
    person.run(person.write("leaves.yaml", LEAVES))
    kept = Path(rehearse(person, name, "--keep")["kept"])
    try:
        with closing(sqlite3.connect(kept / "001-once" / "clew.db")) as store:
            said = "".join(str(row) for row in store.execute("SELECT content FROM payloads"))
        assert '"last":"left"' in said
    finally:
        shutil.rmtree(kept)
