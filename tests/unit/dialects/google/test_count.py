import msgspec
import pytest
from msgspec import Raw
from tests.unit.dialects.google.wires import plain, raw, user

from gatewright.core.chat import ChatRequest, Message, Text
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.loss import LossReport
from gatewright.core.traits import DEFAULT, Traits
from gatewright.dialects.google.count import decode_request, decode_response, encode_request, encode_response

CONTENTS = [user({"text": "hello"})]
SYSTEM = {"parts": [{"text": "be brief"}]}


@pytest.mark.parametrize(
    "body",
    [
        {"contents": CONTENTS},
        {"contents": CONTENTS, "systemInstruction": SYSTEM, "tools": [{"googleSearch": {}}], "generationConfig": {}},
        {"generateContentRequest": {"model": "models/m", "contents": CONTENTS, "systemInstruction": SYSTEM}},
        {"generateContentRequest": {"model": "models/m", "contents": CONTENTS}},
    ],
)
def test_a_request_keeps_the_form_it_came_in(body: dict[str, object]) -> None:
    request = decode_request({name: raw(value) for name, value in body.items()}, "m")
    assert isinstance(request.messages[-1].parts[0], Text)
    assert plain(encode_request(request, DEFAULT, LossReport("strict"))) == body


def test_another_dialects_request_is_bare_when_it_can_be() -> None:
    request = ChatRequest(model="gemini-3", messages=(Message(role="user", parts=(Text(text="hello"),)),))
    assert plain(encode_request(request, DEFAULT, LossReport())) == {"contents": CONTENTS}


def test_another_dialects_request_is_whole_otherwise_but_not_for_a_host_that_has_no_such_member() -> None:
    messages = (
        Message(role="system", parts=(Text(text="be brief"),)),
        Message(role="user", parts=(Text(text="hello"),)),
    )
    request = ChatRequest(model="gemini-3", messages=messages)
    flat = {"systemInstruction": SYSTEM, "contents": CONTENTS}
    whole = {"generateContentRequest": {"model": "models/gemini-3", **flat}}
    assert plain(encode_request(request, DEFAULT, LossReport())) == whole
    traits = Traits(unsupported=frozenset(("generateContentRequest",)))
    assert plain(encode_request(request, traits, LossReport("strict"))) == flat


def test_a_request_that_is_none() -> None:
    with pytest.raises(GatewayError, match="must be a JSON object"):
        decode_request({"generateContentRequest": Raw(b"[]")}, "m")
    with pytest.raises(GatewayError, match="`contents` is missing"):
        decode_request({}, "m")


def test_the_count() -> None:
    assert decode_response(b'{"totalTokens":12,"promptTokensDetails":[]}') == 12
    assert msgspec.json.decode(encode_response(12)) == {"totalTokens": 12}


@pytest.mark.parametrize("text", [b"{}", b"[]", b'{"totalTokens":"x"}', b'{"totalTokens":-1}', b"{", b"\xff"])
def test_an_answer_without_a_count(text: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        decode_response(text)
    assert caught.value.kind is Kind.UPSTREAM_BAD_RESPONSE
