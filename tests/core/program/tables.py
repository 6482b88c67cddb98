"""Small tables of commands and conditions, so that core is tested without those that clew brings along."""

from __future__ import annotations

from clew.core.program.signatures import (
    EXPRESSION,
    LITERAL,
    REGEX,
    SHELL,
    SQL,
    Param,
    Signature,
    by_name,
)

COMMANDS = by_name(
    (
        Signature(
            "shell",
            "Run a program.",
            {"command": Param(SHELL, required=True, about="arguments"), "shell": Param()},
            positional=("command*",),
        ),
        Signature(
            "python",
            "Call a function.",
            {"function": Param(LITERAL, required=True), "with": Param()},
            positional=("function",),
        ),
        Signature("note", "Write a line.", {"text": Param()}, positional=("text",), synonyms=("write_note",)),
        Signature(
            "copy",
            "Copy a file.",
            {"from": Param(required=True), "to": Param(required=True)},
            positional=("from", "to"),
        ),
        Signature(
            "publish",
            "Publish.",
            {"location": Param(required=True), "lines": Param()},
            ("location", "lines*"),
        ),
        Signature("wait", "Wait.", {"duration": Param(required=True)}, ("duration",), leaves_nothing=True),
        Signature("query", "Ask.", {"statement": Param(SQL, required=True)}),
        Signature("plug", "Anything.", open_params=True),
    )
)

CONDITIONS = by_name(
    (
        Signature(
            "holds",
            "An expression is true.",
            {"expression": Param(EXPRESSION, required=True)},
            ("expression",),
        ),
        Signature(
            "matches",
            "A text matches.",
            {"value": Param(required=True), "pattern": Param(REGEX, required=True)},
            ("value", "pattern"),
        ),
        Signature(
            "fits",
            "A value fits.",
            {"value": Param(required=True), "schema": Param(LITERAL)},
            ("value", "schema"),
        ),
        Signature(
            "file_exists", "A file.", {"bucket": Param(required=True), "prefix": Param(REGEX, required=True)}
        ),
        Signature("python", "Call a function.", {"function": Param(LITERAL, required=True)}, ("function",)),
        Signature(
            "infrastructure",
            "It answers.",
            {"url": Param(), "host": Param(), "port": Param()},
            later=("ray",),
        ),
    )
)
