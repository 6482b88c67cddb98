"""Has plug-ins look for dependencies. What that takes is loaded for the first of them, and most programs have none."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from clew.ports import Look, Looked, NotTold

if TYPE_CHECKING:
    from clew.executors.looking import Looks


class PlugIns:
    """The looks of one orchestrator, or of a person who asks. Used from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._looks: Looks | None = None
        self._is_over = False

    def look(self, asked: Look) -> Looked:
        """What the plug-in says. Blocking. Raises NotTold."""
        with self._lock:
            if self._is_over:
                raise NotTold("nobody is asked any more")
            if self._looks is None:
                from clew.executors.looking import Looks

                self._looks = Looks()
        return self._looks.look(asked)

    def end(self) -> None:
        """End those that are under way, and begin no other."""
        with self._lock:
            self._is_over = True
            if self._looks is not None:
                self._looks.end()
