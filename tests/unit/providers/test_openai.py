"""OpenAI: a key is needed, and organisation and project travel as headers."""

import pytest

from gatewright.core.secret import Secret
from gatewright.providers.openai import Config, build


def test_it_goes_to_openai_with_its_key() -> None:
    upstream = build("openai", Config(key=Secret("sk-1"), organization="org-1", project="proj-1"))
    assert (upstream.origin.tls, upstream.origin.host, upstream.origin.port) == (True, "api.openai.com", 443)
    assert upstream.paths["openai.chat"] == "/v1/chat/completions"
    for line in (b"authorization: Bearer sk-1", b"openai-organization: org-1", b"openai-project: proj-1"):
        assert line in upstream.head


def test_another_url_is_taken_and_no_key_is_not() -> None:
    assert build("o", Config(key=Secret("k"), url="http://eu.test/v9")).paths["openai.embeddings"] == "/v9/embeddings"
    with pytest.raises(ValueError, match="`key` is missing"):
        build("o", Config())
