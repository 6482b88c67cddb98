"""Where a stage's code may come from, and what of that can be known from its text alone."""

from __future__ import annotations

import re

from clew.core.planning.locations import is_url

COMMIT = r"[0-9a-f]{40}"
"""A commit's full id. A branch, a tag or a shorter id may stand for another commit tomorrow."""
COMMIT_RULE = (
    "write the commit's full id, 40 characters of 0-9 and a-f: anything else may stand for another tomorrow"
)

LOCAL_REPOSITORIES = ("/", "./", "../", "file:")
"""How the addresses of those begin that are on this machine."""

_WRITE = "write https://HOST/PATH, ssh://HOST/PATH, USER@HOST:PATH, or a path that begins with / or ./"
_ADDRESS = r"(?P<scheme>[A-Za-z0-9.+-]+)://(?:(?P<user>[^/]*)@)?(?P<host>[^/@]*)(?P<path>/.*)?"
_SHORT_ADDRESS = r"(?:[\w.-]+@)?(?P<host>[\w.-]+|\[[0-9A-Fa-f:.]+\]):(?!//)(?P<path>.+)"
_HELPER = r"[A-Za-z0-9+.-]*::"
_SCHEMES = ("https", "ssh", "file")


def git_address_problem(address: str) -> tuple[str, str] | None:
    """What is wrong with the address of a git repository, and what would be right; None if nothing is.

    Only transports that fetch and do nothing else are let through, and no credentials: the address is kept in every
    record of the program.
    """
    shown = address[:200]
    if not address or not address.isprintable():
        return "this is no git repository's address", _WRITE
    if address.startswith(("/", "./", "../")):
        return None
    if address.startswith("secret:"):
        return (
            "the address of a git repository is no secret",
            "git asks a credential helper, or takes an ssh key",
        )
    if re.match(_HELPER, address):
        return f"'{shown}' has git run a program of its own to fetch", _WRITE
    if "://" in address:
        return _problem_of_url(address, shown)
    short = re.fullmatch(_SHORT_ADDRESS, address)
    if short is None or short["host"].startswith("-") or short["path"].startswith("-") or address[0] == "-":
        return f"'{shown}' is no git repository's address", _WRITE
    return None


def _problem_of_url(address: str, shown: str) -> tuple[str, str] | None:
    found = re.fullmatch(_ADDRESS, address)
    if found is None or found["scheme"].lower() not in _SCHEMES or not found["path"]:
        return f"'{shown}' is no address that code is fetched from", _WRITE
    user, host, scheme = found["user"], found["host"], found["scheme"].lower()
    if user and (scheme != "ssh" or ":" in user):
        hint = "leave them out: git asks a credential helper, or takes an ssh key"
        return "the address of a git repository holds no credentials", hint
    if host.startswith("-") or (user or "").startswith("-") or (scheme != "file" and not host):
        return f"'{shown}' names no host", _WRITE
    if scheme == "file" and host not in ("", "localhost"):
        return f"'{shown}' names the host '{host}'", "a local path has three slashes: file:///path"
    return None


def git_folder_problem(folder: str) -> tuple[str, str] | None:
    """What is wrong with the path of a folder in a commit, and what would be right."""
    segments = folder.removesuffix("/").split("/")
    if folder and (any(one in ("", ".", "..") for one in segments) or "\0" in folder):
        return f"'{folder[:200]}' is no folder of a commit", "write its path from the top, such as jobs/daily"
    return None


def split_folder(text: str) -> tuple[str, str]:
    """The bucket (a name or a URL) and the folder of a text `bucket/folder/` or a URL.

    A `file:` URL is the folder itself; elsewhere the bucket is what stands where a host does.
    """
    if text.startswith("file:"):
        return text, ""
    if not is_url(text):
        bucket, _, folder = text.partition("/")
        return bucket, folder
    scheme, _, rest = text.partition(":")
    slashes = "//" if rest.startswith("//") else ""
    bucket, _, folder = rest.removeprefix(slashes).partition("/")
    return f"{scheme}:{slashes}{bucket}", folder


def as_folder(text: str) -> str:
    """The text as the key of a folder: "" for the whole bucket, else with a slash at its end."""
    return text if not text or text.endswith("/") else f"{text}/"
