"""At most four cache marks leave."""

from __future__ import annotations

from typing import Any

from gatewright.core.chat import CacheMark
from gatewright.core.loss import Feature, LossReport, Outcome
from gatewright.dialects.anthropic.cache_marks import MESSAGE, SYSTEM, TOOL, Marks


def test_marks_are_put_and_none_are_not() -> None:
    report = LossReport()
    marks = Marks(report)
    block: dict[str, Any] = {}
    marks.put(block, None, "messages[0].parts[0]")
    assert block == {}
    marks.put(block, CacheMark("1h"), "messages[0].parts[0]")
    marks.limit()
    assert block == {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    assert report.entries == []


def test_the_oldest_of_the_conversation_are_given_up_first() -> None:
    report = LossReport()
    marks = Marks(report)
    blocks: dict[str, dict[str, Any]] = {}
    for path, place in [("m0", MESSAGE), ("m1", MESSAGE), ("m2", MESSAGE), ("t", TOOL), ("s", SYSTEM)]:
        blocks[path] = {}
        marks.put(blocks[path], CacheMark(), path, place)
    marks.count(CacheMark())
    marks.count(None)
    marks.limit()
    assert [path for path, block in blocks.items() if block] == ["m2", "t", "s"]
    assert [(loss.feature, loss.outcome, loss.path) for loss in report.entries] == [
        (Feature.CACHE_MARK, Outcome.DROPPED, "m0"),
        (Feature.CACHE_MARK, Outcome.DROPPED, "m1"),
    ]
