"""What a server logs for those who watch it: one JSON object a line on standard error, with the moment in UTC."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every record has; all else was given by who logs."""


class JsonLines(logging.Formatter):
    """One object a line: nothing that anybody sends can begin a line of its own, or change what a terminal shows."""

    def format(self, record: logging.LogRecord) -> str:
        given = {name: value for name, value in vars(record).items() if name not in _USUAL}
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "at": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "of": record.name,
            "what": record.getMessage(),
            **given,
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log_lines() -> None:
    """Have what clew's servers log written to standard error, line by line."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logger = logging.getLogger("clew")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
