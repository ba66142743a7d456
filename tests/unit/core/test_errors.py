import pytest

from gatewright.core.errors import KINDS, GatewayError, Kind, Retry, Source

TABLE = """
malformed_request             client    400 never           exposed
unsupported_feature           client    400 never           exposed
unauthenticated               client    401 never           exposed
forbidden                     client    403 never           exposed
route_not_found               client    404 never           exposed
method_not_allowed            client    405 never           exposed
model_not_found               client    404 never           exposed
request_timeout               client    408 never           exposed
too_large                     client    413 never           exposed
headers_too_large             client    431 never           exposed
disconnected                  client    499 never           hidden
rate_limited                  gateway   429 never           exposed
quota_exceeded                gateway   429 never           exposed
guardrail_blocked             gateway   403 never           exposed
overloaded                    gateway   503 never           exposed
no_healthy_upstream           gateway   503 never           exposed
draining                      gateway   503 never           exposed
internal                      gateway   500 never           hidden
upstream_connect_failed       upstream  502 other_upstream  exposed
upstream_timeout              upstream  504 other_upstream  exposed
upstream_overloaded           upstream  503 other_upstream  exposed
upstream_rate_limited         upstream  429 other_upstream  exposed
upstream_failed               upstream  502 other_upstream  exposed
upstream_reset                upstream  502 if_untouched    exposed
upstream_credential_rejected  upstream  502 never           exposed
upstream_bad_response         upstream  502 never           exposed
upstream_cut                  upstream  502 never           exposed
upstream_rejected             upstream  502 never           exposed
"""
"""The contract with clients: a change here is a change for them, and needs a fragment."""


def test_the_table_is_what_clients_were_told() -> None:
    rows = [
        f"{kind:<29} {f.source:<9} {f.status} {f.retry:<15} {'exposed' if f.exposed else 'hidden'}"
        for kind, f in KINDS.items()
    ]
    assert rows == TABLE.strip().splitlines()


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_its_row(kind: Kind) -> None:
    facts = KINDS[kind]
    assert 400 <= facts.status < 600
    assert facts.summary.endswith((".", ")."))
    assert (facts.source is Source.UPSTREAM) or facts.retry is Retry.NEVER


def test_an_error_takes_its_meaning_from_the_table() -> None:
    error = GatewayError(Kind.MODEL_NOT_FOUND, "there is no model `x`")
    assert (error.source, error.status, error.retry) == (Source.CLIENT, 404, Retry.NEVER)
    assert str(error) == error.public_message == "there is no model `x`"
    assert (error.cause, error.param, error.code, error.retry_after_s) == (None, None, None, None)


def test_a_hidden_kind_shows_its_summary_only() -> None:
    error = GatewayError(Kind.INTERNAL, "KeyError: 'sk-1'")
    assert error.public_message == KINDS[Kind.INTERNAL].summary
    assert error.message == "KeyError: 'sk-1'"


def test_an_upstream_status_can_be_passed_through() -> None:
    error = GatewayError(Kind.UPSTREAM_REJECTED, "no such voice", status=422, code="voice", param="voice")
    assert (error.status, error.code, error.param) == (422, "voice", "voice")
    assert GatewayError(Kind.UPSTREAM_REJECTED, "x").status == 502


def test_the_lower_error_and_the_delay_are_kept() -> None:
    cause = OSError("refused")
    error = GatewayError(Kind.UPSTREAM_CONNECT_FAILED, "cannot reach it", cause=cause, retry_after_s=2.5)
    assert error.cause is cause
    assert error.retry_after_s == 2.5


def test_an_upstream_body_and_headers_can_go_with_it() -> None:
    error = GatewayError(Kind.UPSTREAM_REJECTED, "x", body=b"{}", headers=((b"retry-after", b"2"),))
    assert (error.body, error.headers) == (b"{}", ((b"retry-after", b"2"),))
    assert GatewayError(Kind.INTERNAL, "x").untouched is False
