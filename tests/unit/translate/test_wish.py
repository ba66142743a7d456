from __future__ import annotations

import pytest

from gatewright.core.chat import ChatRequest
from gatewright.dialects.openai import CHAT
from gatewright.translate.wish import Wish


def test_a_wish_is_the_same_for_every_attempt() -> None:
    request = ChatRequest(model="m", messages=())
    wish = Wish(client=CHAT, request=request, published="m", response_id="r", created=1, fidelity="warn")
    with pytest.raises(AttributeError):
        wish.published = "other"  # type: ignore[misc]
