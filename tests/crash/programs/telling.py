"""Stages that tell a secret in every way they can."""

from __future__ import annotations

import base64
import json
import os
import signal
import sys
from typing import Any
from urllib.parse import quote


def print_all(password: str) -> None:
    """In the forms in which programs print things, and in pieces."""
    raw = password.encode()
    quoted = quote(password, safe="")
    for form in (password, base64.b64encode(raw).decode(), raw.hex(), quoted, repr(password)):
        sys.stdout.write(f"it is {form} here\n")
    sys.stderr.write(json.dumps({"password": password}) + json.dumps(password, ensure_ascii=False) + "\n")
    half = len(password) // 2
    sys.stdout.write(password[:half])
    sys.stdout.flush()
    sys.stdout.write(password[half:])


def give_back(password: str) -> dict[str, Any]:
    """As a result: as a value, inside of others, as a name, and in so much that the store does not take it."""
    return {"told": f"<{password}>", "deep": [{"names": {password: 1}}], "bulk": "." * 300_000 + password}


def fail(password: str) -> None:
    raise ValueError(f"the server said no to {password}")


def be_cut_off(password: str, ready: str) -> None:
    """Print half of it, say so, and go on until killed; at the second attempt, just print it."""
    half = len(password) // 2
    sys.stdout.write(password[:half])
    sys.stdout.flush()
    if os.environ["CLEW_ATTEMPT"] == "1":
        with open(ready, "w"):
            sys.stdout.write(password[half:] + "\n" + password[:half])
            sys.stdout.flush()
        signal.pause()
    sys.stdout.write(password[half:])
