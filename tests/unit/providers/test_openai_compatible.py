"""Any compatible host: a URL is needed, a key is not."""

import pytest

from gatewright.core.secret import Secret
from gatewright.providers.openai_compatible import Config, build


def test_a_key_is_sent_only_where_there_is_one() -> None:
    assert b"authorization" not in build("v", Config(url="http://vllm.test:8000/v1")).head
    assert b"authorization: Bearer k\r\n" in build("v", Config(url="http://vllm.test", key=Secret("k"))).head


def test_without_a_url_it_cannot_be_reached() -> None:
    with pytest.raises(ValueError, match="`url` is missing"):
        build("v", Config())
