"""A document is compiled whole or refused with everything that is wrong with it."""

from __future__ import annotations

import pytest
from gateways import World, document, filter_type

from gatewright.config.problems import InvalidConfig
from gatewright.core.exchange import Exchange
from gatewright.core.ports import Ports
from gatewright.core.secret import Secret
from gatewright.pipeline.filters import Filter

SCOPES: list[str] = []


class Probe(Filter):
    def __init__(self, config: object, ports: Ports) -> None:
        if getattr(config, "note", "") == "impossible":
            raise ValueError("that cannot be")
        SCOPES.append(ports.scope)

    def on_settle(self, x: Exchange) -> None:
        return None


def test_all_errors_come_together_each_with_its_path() -> None:
    wrong = document([("a", 1), ("b", 1), ("c", 1), ("d", 1), ("e", 1)])
    wrong["providers"] |= {
        "a": {"type": "host"},
        "b": {"type": "telepathy"},
        "c": {"url": "http://c.test"},
        "d": {"type": "host", "url": "http://d.test", "max_connections": 0, "colour": "red"},
        "e": {"type": "host", "url": "http://user:pw@e.test"},
    }
    wrong["policies"] = [
        {"filter": "nothing"},
        {"filter": "probe", "config": {"note": 5}},
        {"filter": "probe", "config": {"note": "impossible"}},
    ]
    with pytest.raises(InvalidConfig) as refused:
        World().snapshot(wrong, filter_type(Probe))
    found = {error.path: error.message for error in refused.value.errors}
    assert set(found) == {
        "providers.a",
        "providers.b.type",
        "providers.c",
        "providers.d.max_connections",
        "providers.d.colour",
        "providers.e",
        "policies[0].filter",
        "policies[1].config.note",
        "policies[2].config",
    }
    assert "known types: claude, host" in found["providers.b.type"]
    assert "known filters: probe" in found["policies[0].filter"]
    assert found["policies[2].config"] == "that cannot be"
    assert "pw" not in str(refused.value).replace("empty", "")


def test_a_target_is_rendered_up_to_the_length_of_the_body() -> None:
    given = document()
    given["providers"]["a"]["key"] = Secret("sk-1")
    model = World().snapshot(given).models.find("m")
    assert model is not None
    head = model.targets[0].routes["openai.chat"].plain
    assert head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\nhost: a.test\r\n")
    assert b"\r\nauthorization: Bearer sk-1\r\n" in head
    assert head.endswith(b"\r\ncontent-length: ")
    assert bytes(model.targets[0].model_json or b"") == b'"a-model"'
    assert bytes(model.name_json) == b'"m"'


@pytest.mark.parametrize(
    ("anonymous", "consumers", "served"),
    [(None, {}, True), (None, {"acme": {}}, False), (True, {"acme": {}}, True), (False, {}, False)],
)
def test_who_may_call_without_a_key(anonymous: bool | None, consumers: dict[str, object], served: bool) -> None:
    assert World().snapshot(document(anonymous=anonymous, consumers=consumers)).anonymous is served


def test_an_identity_provider_ends_calls_without_a_key() -> None:
    issuer = {"issuer": "https://login.example", "audience": ["gw"], "consumer": "acme/x/${azp}"}
    given = document(consumers={}, identity={"issuers": {"corp": issuer}})
    assert not World().snapshot(given).anonymous
    assert World().snapshot({**given, "anonymous": True}).anonymous


def test_a_policys_scope_is_its_own_and_the_same_after_a_reload() -> None:
    given = document(policies=[{"filter": "probe"}, {"filter": "probe", "name": "hard"}, {"filter": "probe"}])
    SCOPES.clear()
    World().snapshot(given, filter_type(Probe))
    first = SCOPES.copy()
    assert len(set(first)) == 3
    SCOPES.clear()
    World().snapshot(given, filter_type(Probe))
    assert first == SCOPES
