import msgspec
import pytest

from gatewright.config.documents import Gateway
from gatewright.config.load import load
from gatewright.config.transport import decode, encode
from gatewright.core.secret import Secret

TEXT = b"""
listen: 0.0.0.0:8080
tls: {certificate: c.pem, key: k.pem}
cors: {origins: ["*"]}
limits: {body_bytes: 1000}
timeouts: {drain_s: 1}
providers:
  a:
    type: openai
    key: "${env:A}"
    headers: {x: "Bearer ${env:A}", y: plain, n: "\xc3\xbc"}
    extra: [1, 1.0, null, true]
models: {"gpt-*": {targets: [{provider: a, weight: 3}], fallback: [{provider: a, model: x}], attempts: 2}}
consumers: {acme: {teams: {t: {apps: {i: {keys: ["sha256:%064d"]}}}}}}
catalogue: {openai/x: {prices: {input: "0.0375", steps: [{above_input_tokens: 9, input: "1"}]}, capabilities: [tools]}}
policies: [{filter: f, on: {models: ["gpt-*"]}, config: {nested: {secret: "${env:A}", big: 9223372036854775807}}}]
"""


def test_a_document_comes_back_as_it_went_secrets_included() -> None:
    loaded = load([("f.yaml", TEXT % 1)], lambda scheme, name: "sk-ü\n1")
    assert loaded.errors == ()
    assert loaded.document is not None
    back = decode(encode(loaded.document))
    assert back == loaded.document
    assert back.providers["a"]["key"] == Secret("sk-ü\n1")
    assert back.providers["a"]["headers"] == {"x": Secret("Bearer sk-ü\n1"), "y": "plain", "n": "ü"}
    assert [type(item) for item in back.providers["a"]["extra"]] == [int, float, type(None), bool]
    assert back.policies[0].config["nested"] == {"secret": Secret("sk-ü\n1"), "big": 2**63 - 1}


def test_the_empty_document_comes_back() -> None:
    assert decode(encode(Gateway())) == Gateway()


@pytest.mark.parametrize(
    "data", [b"", b"\xc1", b"\x80\x80", encode(Gateway())[:-1], msgspec.msgpack.encode({"listen": 5}), b"\x90"]
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(data)


@pytest.mark.parametrize(("code", "data"), [(7, b"x"), (1, b"\xff")])
def test_an_unknown_or_broken_extension_is_refused(code: int, data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(msgspec.msgpack.encode({"providers": {"a": {"key": msgspec.msgpack.Ext(code, data)}}}))


def test_nothing_but_secrets_gets_special_treatment() -> None:
    with pytest.raises(TypeError, match="holds a complex"):
        encode(Gateway(providers={"a": {"x": 1j}}))
