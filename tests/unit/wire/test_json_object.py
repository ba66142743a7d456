from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from gatewright.core.errors import GatewayError, Kind
from gatewright.wire.json_object import JsonObject, mend_surrogates, on_one_line, render_json

BODY = b'{"s":"a","i":1,"f":1.5,"b":true,"l":["x"],"o":{"k":"v"},"os":[{"k":1}],"n":null,"big":1e400}'


@pytest.mark.parametrize(
    ("take", "value"),
    [
        (lambda o: o.string("s"), "a"),
        (lambda o: o.required_string("s"), "a"),
        (lambda o: o.integer("i"), 1),
        (lambda o: o.number("i"), 1.0),
        (lambda o: o.number("f"), 1.5),
        (lambda o: o.boolean("b"), True),
        (lambda o: o.strings("l"), ("x",)),
        (lambda o: o.any("o"), {"k": "v"}),
        (lambda o: o.object("o").string("k"), "v"),
        (lambda o: o.objects("os")[0].integer("k"), 1),
        (lambda o: o.required_objects("os")[0].path, "os[0]"),
        (lambda o: o.items("l"), [Raw(b'"x"')]),
        (lambda o: o.raw("big"), Raw(b"1e400")),
        (lambda o: o.peek("big"), Raw(b"1e400")),
        (lambda o: o.string("n"), None),
        (lambda o: o.integer("n"), None),
        (lambda o: o.object("n"), None),
        (lambda o: o.objects("n"), None),
        (lambda o: o.raw("n"), None),
        (lambda o: o.peek("n"), None),
        (lambda o: o.string("absent"), None),
        (lambda o: o.has("n"), False),
        (lambda o: o.has("s"), True),
    ],
)
def test_members_by_type(take: Callable[[JsonObject], Any], value: Any) -> None:
    assert take(JsonObject.parse(BODY)) == value


@pytest.mark.parametrize(
    ("take", "path", "problem"),
    [
        (lambda o: o.string("i"), "a.i", "a string"),
        (lambda o: o.required_string("n"), "a.n", "is missing"),
        (lambda o: o.required_string("absent"), "a.absent", "is missing"),
        (lambda o: o.required_objects("n"), "a.n", "is missing"),
        (lambda o: o.integer("f"), "a.f", "whole number"),
        (lambda o: o.number("s"), "a.s", "a number"),
        (lambda o: o.boolean("s"), "a.s", "true or false"),
        (lambda o: o.strings("os"), "a.os", "a list of strings"),
        (lambda o: o.object("l"), "a.l", "a JSON object"),
        (lambda o: o.objects("l"), "a.l[0]", "a JSON object"),
        (lambda o: o.items("o"), "a.o", "a list"),
        (lambda o: o.object("o").integer("k"), "a.o.k", "whole number"),
    ],
)
def test_errors_name_the_member(take: Callable[[JsonObject], Any], path: str, problem: str) -> None:
    with pytest.raises(GatewayError) as caught:
        take(JsonObject.parse(BODY, "a"))
    assert (caught.value.kind, caught.value.param) == (Kind.MALFORMED_REQUEST, path)
    assert problem in caught.value.message
    assert f"`{path}`" in caught.value.message
    with pytest.raises(GatewayError) as caught:
        take(JsonObject.parse(BODY, "a", Kind.UPSTREAM_BAD_RESPONSE))
    assert (caught.value.kind, caught.value.param) == (Kind.UPSTREAM_BAD_RESPONSE, None)
    assert f"`{path}`" in caught.value.message


@pytest.mark.parametrize("text", [b"", b"[]", b"null", b"{", b'{"a":}', b"\xff", b"[" * 100_000])
def test_what_is_no_object(text: bytes) -> None:
    with pytest.raises(GatewayError):
        JsonObject.parse(text)


def test_what_nobody_took_is_the_rest() -> None:
    body = JsonObject.parse(b'{"a":1,"b":0.70,"c":null,"d":{"x": 1e400},"e":2}')
    body.integer("a")
    body.drop("e", "absent")
    rest = body.rest("openai.chat")
    assert rest is not None
    assert rest.dialect == "openai.chat"
    assert {name: bytes(value) for name, value in rest.members.items()} == {"b": b"0.70", "d": b'{"x": 1e400}'}
    assert bytes(body.spelled()) == b'{"b":0.70,"c":null,"d":{"x": 1e400}}'
    body.drop("b", "d")
    assert body.rest("openai.chat") is None


def test_a_member_can_be_put_back() -> None:
    body = JsonObject.parse(b'{"a":1}')
    value = body.raw("a")
    assert value is not None
    assert not body.has("a")
    body.keep("a", value)
    assert body.integer("a") == 1


def test_the_given_fields_are_left_alone() -> None:
    fields = {"a": Raw(b"1")}
    JsonObject(fields).integer("a")
    assert fields == {"a": Raw(b"1")}


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        (rb'"\ud83d\ude00"', rb'"\ud83d\ude00"'),
        (rb'"\ud83d"', rb'"\ufffd"'),
        (rb'"\ude00\ud83d"', rb'"\ufffd\ufffd"'),
        (rb'"\\ud83d"', rb'"\\ud83d"'),
        (rb'"\\\uD83D"', rb'"\\\ufffd"'),
        (rb'"\u0041"', rb'"\u0041"'),
    ],
)
def test_halves_of_surrogate_pairs(text: bytes, mended: bytes) -> None:
    assert mend_surrogates(text) == mended
    assert JsonObject.parse(b'{"a":%b}' % text).string("a") == json.loads(mended)


@given(st.text(alphabet=st.characters(codec=None, categories=None)))
def test_any_string_a_json_writer_makes_is_read(text: str) -> None:
    expected = json.loads(mend_surrogates(json.dumps(text).encode()))
    assert JsonObject.parse(json.dumps({"a": text}).encode()).string("a") == expected


def test_raw_values_are_rendered_as_they_are_spelled() -> None:
    assert bytes(render_json({"a": Raw(b"0.70"), "b": [1, "x"]})) == b'{"a":0.70,"b":[1,"x"]}'


@pytest.mark.parametrize(
    ("spelled", "on_one"),
    [
        (b'{"a": 1e400}', b'{"a": 1e400}'),
        (b'{\n  "a": 1.50,\r\n  "b": "\\ud800\\n"\r}\n', b'{  "a": 1.50,  "b": "\\ud800\\n"}'),
        (b"[1,\r2,\n3]", b"[1,2,3]"),
    ],
)
def test_only_line_breaks_are_taken_out(spelled: bytes, on_one: bytes) -> None:
    assert on_one_line(spelled) == on_one
    assert on_one_line(on_one) is on_one
