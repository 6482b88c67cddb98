"""What is checked after a stage or a block: named conditions, one function each, each giving a finding.

Importing this costs next to nothing: a condition's module is loaded when the condition is, by `find`.
"""

from __future__ import annotations

from clew.core.program.signatures import (
    EXPRESSION,
    LITERAL,
    REGEX,
    SQL,
    Param,
    Signature,
    by_name,
)

_FILE_EXISTS = Signature(
    name="file_exists",
    about="A file, or with a trailing / a folder, is found in a bucket.",
    params={
        "bucket": Param(required=True, about="a bucket's name, or a URL"),
        "prefix": Param(required=True, about="a list of elements {match, type, multiple}"),
    },
)

_MATCHES = Signature(
    name="matches",
    about="A value, as text, matches a regular expression from its start.",
    params={
        "value": Param(required=True, about="the value"),
        "pattern": Param(REGEX, required=True, about="an RE2 expression; `$` binds the end"),
    },
    positional=("value", "pattern"),
    is_pure=True,
)

_EQUALS = Signature(
    name="equals",
    about="Two values are the same JSON value.",
    params={
        "actual": Param(required=True, about="the value"),
        "expected": Param(required=True, about="what it should be"),
    },
    positional=("actual", "expected"),
    is_pure=True,
)

_EXPRESSION = Signature(
    name="expression",
    about="An expression over the variables is true.",
    params={"expression": Param(EXPRESSION, required=True, about="such as `rows > 0 && region == 'east'`")},
    positional=("expression",),
    is_pure=True,
)

_SCHEMA = Signature(
    name="schema",
    about="A value satisfies a JSON Schema.",
    params={
        "value": Param(required=True, about="the value"),
        "schema": Param(LITERAL, required=True, about="a JSON Schema; braces in it stay what they are"),
    },
    positional=("value", "schema"),
    is_pure=True,
)

_PYTHON = Signature(
    name="python",
    about="A Python function finds nothing wrong: it returns None or True.",
    params={
        "function": Param(LITERAL, required=True, about="`module:function`"),
        "with": Param(about="its parameters by name; the stage's inputs of these names if not given"),
    },
    positional=("function",),
)

_HTTP = Signature(
    name="http",
    about="A server answers as expected.",
    params={
        "url": Param(required=True, about="an http or https address"),
        "method": Param(about="`GET` if not given"),
        "headers": Param(about="a mapping"),
        "status": Param(about="the status, or a list of them; 200 to 299 if not given"),
        "json": Param(about="what the answer must hold: mappings may hold more than this"),
        "expression": Param(LITERAL, about="is true of status, headers, json and text"),
        "timeout": Param(about="for the whole request; `30 seconds` if not given"),
    },
    positional=("url",),
)

_SQL = Signature(
    name="sql",
    about="A query's answer is as expected; without anything expected, it has a row.",
    params={
        "database": Param(required=True, about="such as `sqlite:///path/to/file.db`"),
        "statement": Param(SQL, required=True, about="a query; {name} binds a value"),
        "equals": Param(about="what the first column of its only row should be"),
        "rows": Param(about="the rows it should have, in order, as mappings or as lists"),
        "expression": Param(LITERAL, about="is true of rows and count"),
    },
    positional=("database", "statement", "equals"),
)

_RESOURCE_AVAILABLE = Signature(
    name="resource_available",
    about="Enough of this machine is free.",
    params={
        "cores": Param(about="how many: those there are, without the load of the last minute"),
        "memory": Param(about="such as `4 GiB`"),
        "disk": Param(about="such as `100 GB`"),
        "folder": Param(about="whose disk it is; that of temporary files if not given"),
    },
)

_INFRASTRUCTURE = Signature(
    name="infrastructure",
    about="Something answers at an address: it takes a connection, or answers a request with a status below 500.",
    params={
        "url": Param(about="an http or https address"),
        "host": Param(about="or a host's name or address"),
        "port": Param(about="with its port"),
        "timeout": Param(about="for the answer; `5 seconds` if not given"),
    },
    later=("emr", "ray"),
)

SIGNATURES: dict[str, Signature] = by_name(
    (
        *(_FILE_EXISTS, _MATCHES, _EQUALS, _EXPRESSION, _SCHEMA, _PYTHON, _HTTP, _SQL),
        *(_RESOURCE_AVAILABLE, _INFRASTRUCTURE),
    )
)
"""The conditions built in, under their names and synonyms."""
