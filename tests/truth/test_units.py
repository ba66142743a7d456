"""Recorded answers: which service gave them, how often the vendor searched the web, how many pictures there are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.truth.recordings import Recording, of, recorded
from tests.truth.vendor_usage import has_failed, is_sound, pieces_of

from gatewright.core.usage import Usage
from gatewright.dialects import DIALECTS
from gatewright.translate.identity import IdentityStream, rewrite_answer
from gatewright.translate.passing import PassedStream

pytestmark = pytest.mark.truth

BY_NAME = {dialect.name: dialect for dialect in DIALECTS}
LISTS = {"default": "prices", "standard": "prices", "on_demand": "prices", "batch": "batch"} | {
    prefix + name: name for name in ("flex", "priority") for prefix in ("", "on_demand_")
}
TALKED = [
    each
    for each in of("openai.chat", "openai.responses", "anthropic.messages", "google.generate_content")
    if each.status == 200 and is_sound(each) and not has_failed(each)
]
DRAWN = [each for each in of("openai.images.generations") if each.answer is not None and each.status == 200]


def usage_of(recording: Recording) -> Usage | None:
    dialect = BY_NAME[recording.dialect]
    if not recording.text:
        return rewrite_answer(dialect, json.dumps(recording.answer).encode(), None)[1]
    codec = IdentityStream(dialect, None, hide_usage=False) if dialect.is_scanned else PassedStream(dialect, None)
    for piece in pieces_of(recording):
        codec.feed(piece)
    codec.end()
    return codec.usage


def documents_of(recording: Recording) -> list[dict[str, Any]]:
    """The answer, or the events of a stream, with what they wrap at the top."""
    if not recording.text:
        return [recording.answer]
    found = []
    for piece in pieces_of(recording):
        data = "\n".join(line[5:] for line in piece.decode().splitlines() if line.startswith("data:"))
        if data.strip().startswith("{"):
            event = json.loads(data)
            found.append(event.get("response") or event.get("message") or event)
    return found


def expected(recording: Recording) -> tuple[str, int]:
    """The price list and the searches, by the last that the answer says of each."""
    tier: Any = None
    searches = 0
    for document in documents_of(recording):
        usage = document.get("usage") or {}
        counts = document.get("usageMetadata") or {}
        if recording.dialect == "anthropic.messages":
            tier = usage.get("service_tier") or tier
            searches = (usage.get("server_tool_use") or {}).get("web_search_requests", searches)
        elif recording.dialect == "google.generate_content":
            tier = counts.get("serviceTier") or counts.get("trafficType") if counts else tier
        elif usage:
            tier = document.get("service_tier")
            calls = [item for item in document.get("output") or () if item["type"] == "web_search_call"]
            searches = sum((call.get("action") or {}).get("type", "search") == "search" for call in calls)
    return LISTS.get(str(tier).lower(), ""), searches


@recorded(TALKED)
def test_the_service_and_the_searches_are_what_the_answer_says(recording: Recording) -> None:
    usage = usage_of(recording)
    if usage is not None:
        assert (usage.service, usage.web_searches) == expected(recording)


@recorded(DRAWN)
def test_pictures_are_counted(recording: Recording) -> None:
    usage = usage_of(recording)
    assert usage is not None
    assert usage.images == len(recording.answer["data"])


@pytest.mark.skipif(not TALKED, reason="there are no recordings")
def test_the_recordings_hold_what_is_looked_for() -> None:
    found = [(each.dialect, bool(each.text), *expected(each)) for each in TALKED]
    assert {service for _, _, service, _ in found} >= {"prices", "flex", "priority", ""}
    searched = {(dialect, is_stream) for dialect, is_stream, _, searches in found if searches}
    assert searched >= {(name, way) for name in ("anthropic.messages", "openai.responses") for way in (False, True)}
