"""Secrets from the settings to a run: where they may be, who is asked for them, and where they never are."""

from __future__ import annotations

import base64
import os
import shutil
from pathlib import Path

import pytest
from tests.surfaces.calling import Person
from tests.trust import encoders

from clew.ports import SecretSource
from clew.settings import SettingsError, read_settings

CANARY = 'p/ss w+rd&"of the/canary" ünï~%'
KEY = "canary-line-one-of-the-key\ncanary/line+two/of-the-key?\n" + "0123456789abcdef~" * 4

TELLS = """
import json, os, sys
from encoders import PRINTED

def all_of(*secrets):
    for secret in secrets:
        for before in (b"", b"u", b"u:"):
            for form in PRINTED.values():
                yield form(secret, before)

def tell(key):
    for told in all_of(os.environ["TOKEN"], key):
        sys.stdout.buffer.write(b"<" + told + b">\\n")
        sys.stdout.buffer.flush()
    return {"told": [told.decode() for told in all_of(os.environ["TOKEN"], key)], "named": {key: 1}}

def fail(key):
    raise ValueError(" ".join(told.decode() for told in all_of(os.environ["TOKEN"])) + key)
"""

PROGRAM = """
name: telling
stages:
  - name: Tell
    environment: {TOKEN: "secret:token"}
    outputs: [told, named]
    execute: {command: python, params: {function: "tells:tell", with: {key: "secret:key"}}}
    rollback: none
  - name: Fail
    after: [Tell]
    environment: {TOKEN: "secret:token"}
    execute: {command: python, params: {function: "tells:fail", with: {key: "secret:key"}}}
    rollback: none
"""


def test_no_form_of_a_secret_is_in_what_is_kept(person: Person) -> None:
    """A stage prints its secrets in every form, gives them, and fails with them; no file holds any of it."""
    shutil.copy(encoders.__file__, person.folder / "encoders.py")
    person.write("tells.py", TELLS)
    person.write("token", CANARY)
    person.write("vaults.py", f"def read(context, params): return {KEY!r}")
    person.write(
        "clew.toml",
        '[secrets]\ntoken = {command = ["cat", "token"], timeout = "20 seconds"}\nkey = {plugin = "vaults:read"}\n',
    )
    done = person.clew("run", person.write("telling.yaml", PROGRAM), code=None)
    assert done.code not in (0, 2), done.err
    [run] = person.clew("runs", "--format", "json").document
    shown = [person.clew(*words) for words in (["show", run["run_id"]], ["logs", run["run_id"]])]
    kept = [path for path in (person.folder / ".clew").rglob("*") if path.is_file()]
    contents = {str(path): path.read_bytes() for path in kept}
    contents["said"] = "".join(each.out + each.err for each in (done, *shown)).encode()
    forbidden = {form for secret in (CANARY, KEY) for form in unmistakable(secret)}
    assert [(name, form) for name, content in contents.items() for form in forbidden if form in content] == []
    logs = b"".join(content for name, content in contents.items() if name.endswith(".log"))
    forms_count = len(encoders.PRINTED)
    assert logs.count(b"[secret token]") >= 3 * forms_count and logs.count(b"[secret key]") >= 3 * forms_count
    assert b"[secret token]" in contents[str(person.folder / ".clew" / "clew.db")]


def unmistakable(secret: str) -> list[bytes]:
    """Each form of it, without what of base64 depends on what stands beside it; and its lines."""
    found = list(secret.encode().splitlines())
    for name, form in encoders.PRINTED.items():
        for before in (b"", b"u", b"u:"):
            told = form(secret, before)
            if "base64" not in name:
                found.append(told)
            elif "\n" not in told.decode() and b"%" not in told:
                found.append(told.rstrip(b"=")[4:-4])
            else:
                found += [line for line in told.splitlines() if len(line) > 60 and b"%" not in line]
    raw = base64.b64encode(secret.encode())
    return [*found, raw[:24]]


def test_a_run_without_its_secret_says_why(person: Person) -> None:
    """Which secret, who was asked, what became of that; and nothing of what was said."""
    person.write("clew.toml", "[secrets]\ntoken = {command = ['sh', '-c', 'echo canary >&2; exit 3']}\n")
    text = """
name: a
stages:
  - {name: A, environment: {T: "secret:token"}, execute: {command: shell, params: [env]}, rollback: none}
"""
    done = person.clew("run", person.write("a.yaml", text), code=None)
    assert done.code not in (0, 2)
    said = person.clew("why", person.clew("runs", "--format", "json").document[0]["run_id"]).out
    assert (
        "secret 'token': the command 'sh' ended with exit code 3; run it by hand to see what it says" in said
    )
    assert "canary" not in done.out + done.err + said


def test_where_secrets_may_be(tmp_path: Path) -> None:
    """In the environment, in a file, or with a command or plug-in, which is found and runs beside the settings."""
    (tmp_path / "clew.toml").write_text(
        '[secrets]\na = {environment = "A"}\nb = {file = "/b"}\nc = {command = ["pass", "show", "c"]}\n'
        'd = {plugin = "vault", timeout = "2 seconds", params = {path = "kv", since = 2024-05-01, deep = [1, true]}}\n'
    )
    secrets = read_settings(folder=str(tmp_path), environment=os.environ).secrets
    folder = str(tmp_path)
    assert secrets == {
        "a": SecretSource("environment", "A"),
        "b": SecretSource("file", "/b"),
        "c": SecretSource("command", "pass", ("show", "c"), folder=folder),
        "d": SecretSource(
            "plugin",
            "vault",
            params={"path": "kv", "since": "2024-05-01", "deep": [1, True]},
            folder=folder,
            timeout_milliseconds=2_000,
        ),
    }


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ('"a"', "secrets.t: must be {environment ="),
        ("{vault = 'a'}", '{command = ["program", "argument"]}, or {plugin = "module:function"}'),
        ("{environment = 'A', file = '/a'}", "secrets.t: must be {environment ="),
        (
            "{file = '/a', timeout = '1 second'}",
            "secrets.t.timeout: there is no such setting; beside `file` there may",
        ),
        (
            "{command = ['a'], params = {}}",
            "secrets.t.params: there is no such setting; beside `command` there may be",
        ),
        ("{file = 7}", "secrets.t.file: must be a text"),
        ("{plugin = ''}", "secrets.t.plugin: must be a text"),
        (
            "{command = 'pass show x'}",
            'secrets.t.command: must be the program and its arguments, such as ["pass"',
        ),
        ("{command = []}", "secrets.t.command: must be the program and its arguments"),
        ("{command = ['a', 7]}", "secrets.t.command: must be the program and its arguments"),
        ('{command = ["a\\u0000"]}', "secrets.t.command: no program can be given a zero character"),
        ("{command = ['a'], timeout = 5}", "secrets.t.timeout: "),
        ("{command = ['a'], timeout = '1 hour'}", "secrets.t.timeout: must be PT0.001S to PT5M"),
        ("{plugin = 'a:b', params = 'x'}", "secrets.t.params: must be a table"),
    ],
)
def test_what_is_said_of_a_secret_is_checked(tmp_path: Path, said: str, complaint: str) -> None:
    """With its place, and with what would be right."""
    (tmp_path / "clew.toml").write_text(f"[secrets]\nt = {said}\n")
    with pytest.raises(SettingsError) as raised:
        read_settings(folder=str(tmp_path), environment=os.environ)
    assert complaint in str(raised.value)
