import pytest
from msgspec import Raw

from gatewright.core.chat import Extension
from gatewright.core.errors import GatewayError, Kind
from gatewright.dialects.google.members import NAME, Members, camel, merged, own_members, text_of


@pytest.mark.parametrize(
    ("spelled", "expected"),
    [
        ("inline_data", "inlineData"),
        ("inlineData", "inlineData"),
        ("response_json_schema", "responseJsonSchema"),
        ("x_2_y", "x2Y"),
        ("_private", "_private"),
        ("@type", "@type"),
        ("UPPER_CASE", "UPPER_CASE"),
        ("trailing_", "trailing_"),
    ],
)
def test_names_are_written_in_camel_case(spelled: str, expected: str) -> None:
    assert camel(spelled) == expected


def test_members_are_found_under_either_spelling_at_any_depth() -> None:
    body = Members.parse(b'{"top_p":1,"a_b":{"c_d":2},"list_x":[{"e_f":3}]}')
    inner = body.object("aB")
    assert body.number("topP") == 1
    assert inner is not None
    assert inner.integer("cD") == 2
    [(raw, element)] = body.many("listX") or []
    assert bytes(raw) == b'{"e_f":3}'
    assert element.path == "listX[0]"
    assert element.integer("eF") == 3


@pytest.mark.parametrize("text", [b'{"topP":1,"top_p":2}', b'{"top_p":1,"a":1,"topP":2}'])
def test_a_request_has_a_member_in_one_spelling_alone(text: bytes) -> None:
    with pytest.raises(GatewayError, match="`top_p` stands beside `topP`") as refused:
        Members.parse(text)
    assert refused.value.kind is Kind.MALFORMED_REQUEST
    assert Members.parse(text, kind=Kind.UPSTREAM_BAD_RESPONSE).has("topP")


def test_one_object_stands_for_a_list_of_it() -> None:
    [(raw, element)] = Members.parse(b'{"parts":{"text":"x"}}').many("parts") or []
    assert bytes(raw) == b'{"text":"x"}'
    assert element.string("text") == "x"


def test_no_list_is_no_list() -> None:
    assert Members.parse(b'{"parts":null}').many("parts") is None


@pytest.mark.parametrize("text", [b"[]", b"1", b"{", b"", b'{"a":'])
@pytest.mark.parametrize("kind", [Kind.MALFORMED_REQUEST, Kind.UPSTREAM_BAD_RESPONSE])
def test_what_is_no_object_is_an_error_of_the_kind(text: bytes, kind: Kind) -> None:
    with pytest.raises(GatewayError) as caught:
        Members.parse(text, "contents[0]", kind)
    assert caught.value.kind is kind


def test_errors_deep_inside_are_of_the_same_kind_and_name_the_path() -> None:
    body = Members.parse(b'{"a":[{"b":1}]}', "", Kind.UPSTREAM_BAD_RESPONSE)
    with pytest.raises(GatewayError, match=r"`a\[0\].b` must be a string") as caught:
        (body.many("a") or [])[0][1].string("b")
    assert caught.value.kind is Kind.UPSTREAM_BAD_RESPONSE


def test_a_half_surrogate_in_a_name_does_not_matter() -> None:
    assert Members.parse(b'{"\\ud800":1,"a_b":2}').integer("aB") == 2


def test_an_object_that_must_be_one() -> None:
    assert Members.parse(b'{"args":{"a":1}}').object_raw("args") == Raw(b'{"a":1}')
    with pytest.raises(GatewayError, match="must be a JSON object"):
        Members.parse(b'{"args":[1]}').object_raw("args")


def test_which_of_several_members_is_there() -> None:
    body = Members.parse(b'{"x":1,"b_c":null,"a":2}')
    assert body.first_of(frozenset(("a", "bC"))) == "a"
    assert body.first_of(frozenset(("bC", "z"))) is None


def test_an_extension_is_for_its_own_dialect_alone() -> None:
    members = {"x": Raw(b"1")}
    assert own_members(Extension(NAME, members), NAME) == members
    assert own_members(Extension("openai.chat", members), NAME) == {}
    assert own_members(None, NAME) == {}


def test_what_is_written_counts_before_what_was_kept() -> None:
    assert merged({"a": 1}, Raw(b'{"a":2,"b":3}')) == {"a": 1, "b": Raw(b"3")}
    assert merged({"a": 1}, None) == {"a": 1}


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert text_of(Raw(b'"\xff"')) == '"�"'
