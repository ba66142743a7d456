"""Every recorded AWS event stream, of whatever API, is read whole and written back byte for byte."""

from __future__ import annotations

import base64
import json

import pytest
from tests.truth.recordings import FOLDER, is_here

from gatewright.wire.aws_event_stream import MessageDecoder, render_headers, render_message


def _streams() -> list[str]:
    """Where they are; streams of the same provider that are recorded as text are of other framings."""
    if not is_here():
        return []
    rows = map(json.loads, (FOLDER / "INDEX.jsonl").read_text().splitlines())
    paths = [row["path"] for row in rows if row["provider"] == "bedrock" and row["stream"]]
    return [path for path in paths if '"b64"' in (FOLDER / path).read_text()]


@pytest.mark.truth
@pytest.mark.parametrize("path", _streams())
def test_reads_and_writes_recorded_streams(path: str) -> None:
    data = base64.b64decode(json.loads((FOLDER / path).read_text())["response"]["b64"])
    for size in (1, 7, 64, len(data)):
        decoder = MessageDecoder(1 << 20)
        messages = [message for at in range(0, len(data), size) for message in decoder.feed(data[at : at + size])]
        assert decoder.end() == b""
        assert messages
        assert all(message.headers[":message-type"] in ("event", "exception", "error") for message in messages)
        assert all(isinstance(json.loads(message.payload), dict) for message in messages)
        assert b"".join(render_message(render_headers(each.headers), each.payload) for each in messages) == data
