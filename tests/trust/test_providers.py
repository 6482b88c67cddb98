"""Secrets of commands and plug-ins: what they give, and what is said when they give nothing."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from clew.ports import SecretSource
from clew.trust.providers import find_fault
from clew.trust.secrets import SECRET_SIZE_MAX, SecretError, resolve

CANARY = "canary-of-the-providers"


def command(*words: str, folder: str = "", timeout: float = 30) -> SecretSource:
    milliseconds = round(timeout * 1000)
    return SecretSource("command", words[0], words[1:], folder=folder, timeout_milliseconds=milliseconds)


def shell(line: str, **more: Any) -> SecretSource:
    return command("sh", "-c", line, **more)


def plug_in(
    folder: Path, name: str, params: dict[str, Any] | None = None, timeout: float = 30
) -> SecretSource:
    return SecretSource(
        "plugin", name, params=params or {}, folder=str(folder), timeout_milliseconds=round(timeout * 1000)
    )


def fault(source: SecretSource) -> str:
    """What is said when there is none; it never holds what the provider said."""
    with pytest.raises(SecretError) as raised:
        resolve(source, "name")
    assert CANARY not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(
    ("printed", "value"),
    [("a b", "a b"), ("a\\n", "a"), ("a\\n\\n", "a\n"), ("a\\r\\n", "a"), ("\\303\\274\\n", "ü")],
)
def test_a_secret_is_what_a_command_prints(printed: str, value: str) -> None:
    """All of it but the newline at its end, as of a file; what it says beside that is dropped."""
    assert resolve(shell(f"echo aside >&2; printf '{printed}'"), "name") == value
    most = "x" * SECRET_SIZE_MAX
    assert resolve(shell(f"head -c {SECRET_SIZE_MAX} /dev/zero | tr '\\0' x; echo"), "name") == most


def test_no_shell_reads_a_command() -> None:
    """Its words are given to it as they are."""
    assert resolve(command("echo", "$HOME;", "*"), "name") == "$HOME; *"


def test_a_command_has_the_environment_and_the_folder_of_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finds what it needs, and what lies beside the settings; it asks nobody, and gets none of our modules."""
    monkeypatch.setenv("VAULT_OF_TEST", "north")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    (tmp_path / "own").write_text('#!/bin/sh\necho "$VAULT_OF_TEST ${PYTHONPATH-none} $(cat)"; pwd -P\n')
    (tmp_path / "own").chmod(0o700)
    given = resolve(command("./own", folder=str(tmp_path)), "name")
    assert given == f"north none \n{tmp_path.resolve()}"


def test_why_a_command_gives_nothing_is_told(tmp_path: Path) -> None:
    """Not found, not executable, failed, ended, late, too long, no text, empty: each says so, and nothing it said."""
    (tmp_path / "plain").write_text("")
    missing = str(tmp_path / "gone")
    for source, text in [
        (
            command("no-such-program-of-test"),
            "the command 'no-such-program-of-test' is not found: install it",
        ),
        (command("true", folder=missing), f"the folder '{missing}', in which the command 'true' would run"),
        (command("./plain", folder=str(tmp_path)), "the command './plain' can't be run: Permission denied"),
        (shell(f"echo {CANARY} | tee /dev/stderr; exit 3"), "ended with exit code 3; run it by hand"),
        (shell(f"echo {CANARY}; kill -9 $$"), "was ended by signal 9 (SIGKILL)"),
        (shell(f"echo {CANARY}; kill -40 $$"), "was ended by signal 40"),
        (command("cat", "/dev/zero"), "gave more than 65536 bytes, which no secret has"),
        (shell(f"head -c {SECRET_SIZE_MAX + 1} /dev/zero"), "gave more than 65536 bytes"),
        (shell(f"printf '{CANARY}\\377'"), "what the command 'sh' gave is no UTF-8 text"),
        (shell("echo"), "the secret of the command 'sh' is empty"),
    ]:
        assert text in fault(source)


@pytest.mark.parametrize("line", ["echo %s; exec cat", "echo %s; exec >&-; read never"])
def test_a_command_that_goes_on_is_ended(line: str, tmp_path: Path) -> None:
    """Its time is up, whether or not it has closed its output; then it is gone."""
    os.mkfifo(tmp_path / "never")
    source = shell(f"exec < never; {line % CANARY}", folder=str(tmp_path), timeout=0.2)
    writer = os.open(tmp_path / "never", os.O_RDWR)
    assert "did not answer within 0.2 seconds" in fault(source)
    os.close(writer)


PLUG_INS = f"""
import sys

class Vault:
    def read(self, context, params):
        print("noise")
        return params["path"] + "/" + context.name

vault = Vault()

async def later(context, params):
    return context.folder

def fails(context, params): raise ValueError("{CANARY}")
def leaves(context, params): sys.exit("{CANARY}")
def vanishes(context, params): import os; os._exit(7)
def number(context, params): return 7
def surrogate(context, params): return "{CANARY}\\ud800"
def empty(context, params): return ""
def much(context, params): return "é" * 40_000
def waits(context, params): import signal; signal.pause()
"""


def test_a_secret_is_what_a_plug_in_gives(tmp_path: Path) -> None:
    """A function beside the settings, plain or async, is told which secret, and what the settings say."""
    (tmp_path / "vaults.py").write_text(PLUG_INS)
    assert resolve(plug_in(tmp_path, "vaults:vault.read", {"path": "kv"}), "ledger") == "kv/ledger"
    assert resolve(plug_in(tmp_path, "vaults:later"), "ledger") == str(tmp_path)
    assert "vaults" not in sys.modules


def test_a_package_brings_a_plug_in(tmp_path: Path) -> None:
    """By an entry point of the group `clew.secrets`."""
    (tmp_path / "vaults.py").write_text(PLUG_INS)
    brought = tmp_path / "vaults-1.dist-info"
    brought.mkdir()
    (brought / "METADATA").write_text("Metadata-Version: 2.1\nName: vaults\nVersion: 1\n")
    (brought / "entry_points.txt").write_text("[clew.secrets]\nvault = vaults:vault.read\n")
    assert resolve(plug_in(tmp_path, "vault", {"path": "kv"}), "ledger") == "kv/ledger"


def test_why_a_plug_in_gives_nothing_is_told(tmp_path: Path) -> None:
    """Of an exception its type and place; what it says may hold the secret."""
    (tmp_path / "vaults.py").write_text(PLUG_INS)
    (tmp_path / "broken.py").write_text(f"import json\nraise OSError('{CANARY}')\n")
    (tmp_path / "lacking.py").write_text("import no_such_module_of_test\n")
    for name, text in [
        ("nobody", "no package brings the plug-in 'nobody'; a project's own is named module:function"),
        ("gone:read", "there is no module 'gone' beside the settings, nor installed"),
        ("vaults:gone", "the module 'vaults' has no function 'gone'"),
        ("broken:read", f"'broken:read' can't be loaded: OSError at line 2 of {tmp_path / 'broken.py'}"),
        ("lacking:read", "'lacking:read' can't be loaded: ModuleNotFoundError at line 1 of"),
        (
            "vaults:fails",
            f"'vaults:fails' failed: ValueError at line 14 of {tmp_path / 'vaults.py'}; call it",
        ),
        ("vaults:leaves", "'vaults:leaves' failed: SystemExit at line 15"),
        ("vaults:vanishes", "'vaults:vanishes' ended with exit code 7"),
        ("vaults:number", "'vaults:number' gave int and no text"),
        ("vaults:surrogate", "what the plug-in 'vaults:surrogate' gave is no UTF-8 text"),
        ("vaults:empty", "the secret of the plug-in 'vaults:empty' is empty"),
        ("vaults:much", "'vaults:much' gave more than 65536 bytes"),
    ]:
        assert text in fault(plug_in(tmp_path, name))
    assert "did not answer within" in fault(plug_in(tmp_path, "vaults:waits", timeout=1))


def test_whether_a_plug_in_can_be_loaded_is_found_without_calling_it(tmp_path: Path) -> None:
    """What would fail when called is no fault then."""
    (tmp_path / "vaults.py").write_text(PLUG_INS)
    assert find_fault(plug_in(tmp_path, "vaults:fails"), "ledger") is None
    assert (
        find_fault(plug_in(tmp_path, "vaults:gone"), "ledger") == "the module 'vaults' has no function 'gone'"
    )
    late = find_fault(plug_in(tmp_path, "vaults:fails", timeout=0.001), "ledger")
    assert late is not None and "did not answer" in late
