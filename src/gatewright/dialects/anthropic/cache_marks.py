"""Cache breakpoints of a request being written.

At most four are taken (platform.claude.com/docs/en/build-with-claude/prompt-caching).
"""

from __future__ import annotations

from typing import Any, Final

from gatewright.core.chat import CacheMark
from gatewright.core.loss import Feature, LossReport
from gatewright.dialects.anthropic.vocabulary import render_cache

MAX_MARKS: Final = 4
MESSAGE, TOOL, SYSTEM = 0, 1, 2
"""Where a mark stands, in the order in which marks are given up: the oldest of the conversation first."""


class Marks:
    """Puts `cache_control` on blocks and takes back what is too much."""

    def __init__(self, report: LossReport) -> None:
        self._report = report
        self._put: list[tuple[int, dict[str, Any], str]] = []
        self._fixed = 0

    def put(self, block: dict[str, Any], mark: CacheMark | None, path: str, place: int = MESSAGE) -> None:
        """Mark `block`, which stands at `path` of the hub's request."""
        if mark is not None:
            block["cache_control"] = render_cache(mark)
            self._put.append((place, block, path))

    def count(self, mark: CacheMark | None) -> None:
        """Count the mark of a block that is written as it was spelled."""
        if mark is not None:
            self._fixed += 1

    def limit(self) -> None:
        """Take the marks beyond the fourth off their blocks."""
        over = len(self._put) + self._fixed - MAX_MARKS
        if over > 0:
            for _, block, path in sorted(self._put, key=lambda put: put[0])[:over]:
                del block["cache_control"]
                self._report.dropped(Feature.CACHE_MARK, path, f"at most {MAX_MARKS} cache marks are taken")
