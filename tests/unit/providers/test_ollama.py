"""Ollama: a server on this machine unless told otherwise, with a key only behind something that asks for one."""

from gatewright.core.secret import Secret
from gatewright.providers.ollama import Config, build


def test_the_default_is_this_machine() -> None:
    upstream = build("ollama", Config())
    assert (upstream.origin.tls, upstream.origin.host, upstream.origin.port) == (False, "127.0.0.1", 11434)
    assert next(iter(upstream.paths)) == "ollama.chat"
    assert b"authorization" not in upstream.head


def test_a_key_is_sent_when_there_is_one() -> None:
    upstream = build("ollama", Config(key=Secret("o-1"), url="https://ollama.example/base"))
    assert b"authorization: Bearer o-1\r\n" in upstream.head
    assert upstream.paths["ollama.chat"] == "/base/api/chat"
