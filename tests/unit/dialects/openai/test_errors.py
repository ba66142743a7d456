import msgspec
import pytest

from gatewright.core.errors import GatewayError, Kind
from gatewright.core.surface import UpstreamFault
from gatewright.dialects.openai.errors import read_fault, render_error, render_stream_error


def rendered(error: GatewayError) -> dict[str, object]:
    document = msgspec.json.decode(render_error(error, "req-1"))
    assert list(document) == ["error"]
    assert list(document["error"]) == ["message", "type", "param", "code"]
    found: dict[str, object] = document["error"]
    return found


@pytest.mark.parametrize(
    ("kind", "type_", "code"),
    [
        (Kind.MALFORMED_REQUEST, "invalid_request_error", "malformed_request"),
        (Kind.UNAUTHENTICATED, "authentication_error", "invalid_api_key"),
        (Kind.FORBIDDEN, "permission_error", "forbidden"),
        (Kind.GUARDRAIL_BLOCKED, "permission_error", "guardrail_blocked"),
        (Kind.ROUTE_NOT_FOUND, "not_found_error", "route_not_found"),
        (Kind.MODEL_NOT_FOUND, "not_found_error", "model_not_found"),
        (Kind.RATE_LIMITED, "rate_limit_error", "rate_limit_exceeded"),
        (Kind.UPSTREAM_RATE_LIMITED, "rate_limit_error", "upstream_rate_limited"),
        (Kind.QUOTA_EXCEEDED, "insufficient_quota", "insufficient_quota"),
        (Kind.INTERNAL, "server_error", "internal"),
        (Kind.UPSTREAM_CUT, "server_error", "upstream_cut"),
    ],
)
def test_kinds_in_the_words_of_the_api(kind: Kind, type_: str, code: str) -> None:
    error = rendered(GatewayError(kind, "what was wrong"))
    assert (error["type"], error["code"], error["param"]) == (type_, code, None)


def test_member_and_finer_code_are_told() -> None:
    error = rendered(GatewayError(Kind.MALFORMED_REQUEST, "no", param="messages[0].role", code="invalid_role"))
    assert error == {
        "message": "no",
        "type": "invalid_request_error",
        "param": "messages[0].role",
        "code": "invalid_role",
    }


def test_a_passed_on_status_decides_the_type() -> None:
    error = GatewayError(Kind.UPSTREAM_REJECTED, "their words", status=422)
    assert rendered(error)["type"] == "invalid_request_error"


def test_what_is_not_exposed_is_not_told() -> None:
    assert "secret" not in str(rendered(GatewayError(Kind.INTERNAL, "secret detail")))


def test_mid_stream_it_is_one_event_with_the_same_object() -> None:
    error = GatewayError(Kind.UPSTREAM_CUT, 'a "quoted"\nline')
    event = render_stream_error(error, "req-1")
    assert event == b"data: " + render_error(error, "req-1") + b"\n\n"
    assert event.count(b"\n") == 2


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b'{"error":{"message":"m","type":"t","param":null,"code":"c"}}', UpstreamFault("m", "c")),
        (b'{"error":{"message":"m","code":400}}', UpstreamFault("m", "400")),
        (b'{"error":{"message":"m","code":null}}', UpstreamFault("m")),
        (b'{"error":{"message":"m","code":{"inner":1}}}', UpstreamFault("m")),
        (b'{"error":{"message":"m","code":true}}', UpstreamFault("m")),
        (b'{"error":"plain words","code":"c"}', UpstreamFault("plain words", "c")),
        (b'{"error":{"detail":"d"}}', UpstreamFault("d")),
        (b'{"detail":"d"}', UpstreamFault("d")),
        (b'{"error":{},"detail":"d"}', UpstreamFault("d")),
        (b'{"object":"error","message":"m","code":404}', UpstreamFault("m", "404")),
        (b'[{"error":{"message":"m"}}]', UpstreamFault("m")),
        (b'{"error":{"message":"m","code":"insufficient_quota"}}', UpstreamFault("m", "insufficient_quota", True)),
        (b'{"error":{"message":"m","type":"insufficient_quota"}}', UpstreamFault("m", None, True)),
        (b'{"error":{"message":"m","code":"rate_limit_exceeded"}}', UpstreamFault("m", "rate_limit_exceeded")),
    ],
)
def test_the_shapes_of_compatible_hosts(body: bytes, fault: UpstreamFault) -> None:
    assert read_fault(body, {}) == fault


@pytest.mark.parametrize(
    "body",
    [
        b"<html>502 Bad Gateway</html>",
        b'{"error":""}',
        b'{"error":{"message":""}}',
        b'{"error":{"message":["m"]}}',
        b'{"error":null}',
        b'{"error":7}',
        b"[]",
        b'["text"]',
        b"null",
        b'{"error":{"message":1e400}}',
    ],
)
def test_other_bodies_speak_for_themselves(body: bytes) -> None:
    assert read_fault(body, {}) == UpstreamFault(body.decode())


def test_long_and_broken_bodies_are_cut_and_mended() -> None:
    assert read_fault(b"", {}) == UpstreamFault("(empty body)")
    assert read_fault(b" \n ", {}) == UpstreamFault("(empty body)")
    assert read_fault(b"\xff" + b"x" * 1000, {}).message == "\ufffd" + "x" * 299
    assert len(read_fault(b"[" * 100_000, {}).message) == 300
