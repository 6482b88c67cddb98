"""What a stage runs: named pieces of work, one function each; built in here or brought by a plug-in.

Importing this costs next to nothing: a command's module is loaded when the command is, by `find`.
"""

from __future__ import annotations

from clew.core.program.signatures import (
    LITERAL,
    SHELL,
    SQL,
    Param,
    Signature,
    by_name,
)

_SHELL = Signature(
    name="shell",
    about="Run a program with its arguments, or, with `shell: true`, a line of the shell.",
    params={
        "command": Param(SHELL, required=True, about="a list of arguments; with `shell: true` one line"),
        "shell": Param(about="true: `command` is a line for /bin/sh, and every {name} in it is quoted"),
        "input": Param(about="text for its standard input; nothing if not given"),
    },
    positional=("command*",),
)

_PYTHON = Signature(
    name="python",
    about="Call a Python function, plain or async.",
    params={
        "function": Param(LITERAL, required=True, about="`module:function`"),
        "with": Param(about="its parameters by name; the stage's inputs of these names if not given"),
    },
    positional=("function",),
)

_PUBLISH_FILE = Signature(
    name="publish_file",
    about="Write a file into a bucket, whole or not at all.",
    params={
        "location": Param(required=True, about="`bucket/key`, or a URL"),
        "lines": Param(about="its lines; each gets a newline at its end"),
        "content": Param(about="its text as it stands, instead of lines"),
    },
    positional=("location", "lines*"),
    synonyms=("publish_file_to_s3",),
)

_COPY_FILE = Signature(
    name="copy_file",
    about="Copy a file within a bucket or from one to another.",
    params={
        "from": Param(required=True, about="`bucket/key`, a URL, or what a dependency located"),
        "to": Param(required=True, about="`bucket/key`, or a URL"),
    },
    positional=("from", "to"),
)

_DELETE_FILE = Signature(
    name="delete_file",
    about="Delete files from their buckets; one that isn't there is no error.",
    params={
        "location": Param(required=True, about="`bucket/key`, a URL, what a dependency located, or a list"),
    },
    positional=("location*",),
)

_WAIT = Signature(
    name="wait",
    about="Do nothing for a while.",
    params={"duration": Param(required=True, about="such as `5 seconds` or `PT5S`")},
    positional=("duration",),
    leaves_nothing=True,
)

_HTTP = Signature(
    name="http",
    about="Make one HTTP request; another status than the expected ones fails the attempt.",
    params={
        "method": Param(about="`GET` if not given"),
        "url": Param(required=True, about="an http or https address"),
        "headers": Param(about="a mapping; methods that change something get an Idempotency-Key besides"),
        "json": Param(about="a JSON body"),
        "body": Param(about="a text body, instead of json"),
        "expect": Param(about="the statuses that are a success; 200 to 299 if not given"),
        "timeout": Param(about="for the whole request; `30 seconds` if not given"),
        "follow_redirects": Param(about="true: go where a redirect points"),
    },
    positional=("method", "url"),
)

_SQL = Signature(
    name="sql",
    about="Run SQL statements in one transaction; {name} binds a value.",
    params={
        "database": Param(required=True, about="such as `sqlite:///path/to/file.db`"),
        "statement": Param(SQL, about="one statement"),
        "statements": Param(SQL, about="several, in order, instead of one"),
        "many": Param(about="rows: the statement runs once for each, which fills its `?` or `:name`"),
        "read_only": Param(about="true: open the database without the right to write"),
    },
    positional=("database", "statement"),
)

_RESTORE_FILES = Signature(
    name="restore_files",
    about="Put back the objects that were kept before the stage began.",
)

SIGNATURES: dict[str, Signature] = by_name(
    (_SHELL, _PYTHON, _PUBLISH_FILE, _COPY_FILE, _DELETE_FILE, _WAIT, _HTTP, _SQL)
)
"""The commands built in, under their names and synonyms."""

OWN_SIGNATURES: dict[str, Signature] = by_name((_RESTORE_FILES,))
"""The commands that clew alone orders: for a program there are none of these names."""
