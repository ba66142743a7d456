from __future__ import annotations

from gatewright.core.reply import Reply


def test_a_reply_is_json_unless_said() -> None:
    assert Reply(200, b"{}").content_type == b"application/json"
    assert Reply(200, b"{}").headers == ()
