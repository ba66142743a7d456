"""Access: deny by default once there is a rule, scopes always, and refusals that say what was missing, of one's own."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from gateways import Answer, World
from hypothesis import given
from hypothesis import strategies as st

from gatewright.config.access import AccessRule
from gatewright.config.problems import ConfigError
from gatewright.core.chat import ChatRequest
from gatewright.core.consumer import ANONYMOUS, Consumer, Scopes
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.exchange import Exchange
from gatewright.dialects import DIALECTS
from gatewright.pipeline import access as module
from gatewright.pipeline.access import Access, build_access, find_surface_error, limit_member, parse_network
from gatewright.pipeline.expressions import ExpressionError
from gatewright.pipeline.lifecycle import open_exchange
from gatewright.translate.identity import parse_fields

SURFACES = {surface.name: (surface, dialect) for dialect in DIALECTS for surface in dialect.surfaces}
INDEXER = Consumer("acme/search/indexer")
INTERN = Consumer("acme/interns/ann")
STAFF = Consumer("acme/staff/bob", "jwt:staff", "staff", claims={"groups": ["batch"], "level": 3})
USER = {"role": "user", "content": "Hello"}
PICTURE = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://pictures.example/cat.png"}}]}
TOOLS = [{"type": "function", "function": {"name": "f"}}]


def built(*rules: dict[str, Any]) -> Access:
    errors: list[ConfigError] = []
    documents = [msgspec.convert({"name": f"rule {index}"} | rule, AccessRule) for index, rule in enumerate(rules)]
    access = build_access(documents, errors)
    assert errors == []
    return access


def call(
    consumer: Consumer = INDEXER,
    model: str = "gpt-4.1",
    surface: str = "chat_completions",
    published: str | None = None,
    headers: dict[bytes, bytes] | None = None,
    **members: Any,
) -> Exchange:
    body = msgspec.json.encode({"messages": [USER], "input": "a", "texts": ["a"]} | members)
    x = Exchange("x-1", None, headers or {}, body, 0.0)
    x.consumer = consumer
    x.surface, x.dialect = SURFACES[surface]
    x.requested_model, x.published_model = model, published or model
    x.fields = parse_fields(body)
    x.stream = members.get("stream", False)
    return x


def refusal(access: Access, x: Exchange, address: str = "") -> GatewayError:
    with pytest.raises(GatewayError) as refused:
        access.check(x, address)
    assert refused.value.kind is Kind.FORBIDDEN
    return refused.value


# -- rules ------------------------------------------------------------------------------------------------------------


def test_without_rules_and_scopes_everything_is_allowed() -> None:
    access = Access()
    for consumer in (INDEXER, STAFF, ANONYMOUS):
        access.check(call(consumer), "")
        assert access.is_listed(consumer, "any")


@pytest.mark.parametrize(
    ("rule", "allowed", "refused"),
    [
        ({}, [call(), call(ANONYMOUS, "any", "embeddings")], []),
        ({"consumers": ["acme/search/indexer"]}, [call()], [call(INTERN), call(ANONYMOUS)]),
        ({"consumers": ["acme/*"]}, [call(), call(INTERN)], [call(Consumer("acme2/a/b")), call(ANONYMOUS)]),
        ({"models": ["gpt-4.1", "o*"]}, [call(), call(model="o3")], [call(model="gpt-4.1-mini"), call(model="claude")]),
        ({"models": ["gpt-*"]}, [call(published="gpt-*"), call(model="gpt-5")], [call(model="g", published="g*")]),
        ({"surfaces": ["messages", "embeddings"]}, [call(surface="messages"), call(surface="embeddings")], [call()]),
        ({"issuers": ["staff"]}, [call(STAFF)], [call(), call(Consumer("acme/staff/bob"))]),
        ({"when": "request.stream"}, [call(stream=True)], [call()]),
        ({"when": '"batch" in jwt.groups'}, [call(STAFF)], [call(), call(INTERN)]),
        ({"when": "jwt.level >= 3 && !request.stream"}, [call(STAFF)], [call(STAFF, stream=True)]),
        ({"when": '!("admin" in jwt.groups)'}, [call(STAFF)], [call()]),
        ({"when": 'request.headers["x-team"] == "red"'}, [call(headers={b"x-team": b"red"})], [call()]),
        ({"when": "user"}, [], [call()]),
        ({"when": "jwt.level"}, [], [call(STAFF)]),
        ({"max_tokens": 100}, [call(max_tokens=100), call(surface="embeddings")], [call(max_tokens=101), call()]),
        ({"tools": False}, [call(), call(tools=[])], [call(tools=TOOLS)]),
        ({"images": False}, [call(), call(tools=TOOLS)], [call(messages=[PICTURE])]),
        ({"tools": False}, [call(surface="embeddings")], [call(surface="moderations"), call(surface="batches_list")]),
        ({"surfaces": ["moderations"]}, [call(surface="moderations")], [call()]),
        (
            {"max_tokens": 10, "tools": False, "images": False, "when": "consumer.team == 'search'"},
            [call(max_tokens=10)],
            [call(INTERN, max_tokens=10), call(max_tokens=11), call(max_tokens=1, tools=TOOLS)],
        ),
    ],
)
def test_one_rule(rule: dict[str, Any], allowed: list[Exchange], refused: list[Exchange]) -> None:
    access = built(rule)
    for _ in range(2):  # as decided, and as remembered
        for x in allowed:
            access.check(x, "")
        for x in refused:
            refusal(access, x)


def test_one_rule_that_allows_is_enough() -> None:
    access = built({"models": ["gpt-*"], "max_tokens": 10}, {"consumers": ["acme/search/*"]}, {"models": ["none"]})
    access.check(call(max_tokens=5_000), "")
    access.check(call(INTERN, max_tokens=10), "")
    refusal(access, call(INTERN, max_tokens=11))


@pytest.mark.parametrize(
    ("rules", "x", "message", "param"),
    [
        (
            [{"consumers": ["x/*"]}],
            call(),
            "`acme/search/indexer` may not call models: no access rule covers it.",
            None,
        ),
        (
            [{"models": ["secret-model"], "consumers": ["acme/*"]}],
            call(),
            "`acme/search/indexer` may not call the model `gpt-4.1`: no access rule covers it.",
            "model",
        ),
        (
            [{"surfaces": ["messages"]}],
            call(),
            "`acme/search/indexer` may not call the model `gpt-4.1` on the surface `chat_completions`: no access rule "
            "covers it.",
            None,
        ),
        (
            [{"max_tokens": 1000}],
            call(max_tokens=1001),
            "This call is not allowed: `max_completion_tokens` may be at most 1000 (rule `rule 0`).",
            "max_completion_tokens",
        ),
        (
            [{"max_tokens": 1000}],
            call(max_tokens=500, n=3),
            "This call is not allowed: `max_completion_tokens` may be at most 1000 for all 3 answers together "
            "(rule `rule 0`).",
            "max_completion_tokens",
        ),
        (
            [{"max_tokens": 1000}],
            call(surface="converse", messages=[]),
            "This call is not allowed: `inferenceConfig.maxTokens` must be sent, and be at most 1000 (rule `rule 0`).",
            "inferenceConfig.maxTokens",
        ),
        (
            [{"tools": False}, {"images": False}],
            call(messages=[PICTURE], tools=TOOLS),
            "This call is not allowed: requests may offer no tools (rule `rule 0`); or requests may hold no images "
            "(rule `rule 1`).",
            None,
        ),
        (
            [{"when": "request.stream"}],
            call(),
            "This call is not allowed: the condition of the rule `rule 0` is not met.",
            None,
        ),
        (
            [{"when": "jwt.level > 1"}],
            call(),
            "This call is not allowed: the condition of the rule `rule 0` cannot be evaluated for this request.",
            None,
        ),
        (
            [{"when": "user"}],
            call(),
            "This call is not allowed: the condition of the rule `rule 0` gives neither true nor false.",
            None,
        ),
    ],
)
def test_refusals_say_what_was_missing(
    rules: list[dict[str, Any]], x: Exchange, message: str, param: str | None
) -> None:
    error = refusal(built(*rules), x)
    assert error.message == message
    assert error.param == param


def test_refusals_tell_nothing_of_others() -> None:
    access = built(
        {"name": "their rule", "consumers": ["other/*"], "models": ["their-model"]},
        {"name": "narrow rule", "consumers": ["acme/*"], "models": ["o3"]},
    )
    for x in (call(), call(model="their-model"), call(model="o4")):
        message = refusal(access, x).message
        assert "their rule" not in message
        assert "narrow rule" not in message
        assert "o3" not in message


def test_why_a_condition_failed_is_for_the_log() -> None:
    error = refusal(built({"when": "jwt.level > 1"}), call())
    assert isinstance(error.cause, ExpressionError)
    assert "level" in str(error.cause)
    assert "level" not in error.message
    error = refusal(built({"when": "user"}), call())
    assert "str" in str(error.cause)


def test_a_request_that_cannot_be_read_is_told_as_such() -> None:
    with pytest.raises(GatewayError) as refused:
        built({"tools": False}).check(call(messages="Hello"), "")
    assert refused.value.kind is Kind.MALFORMED_REQUEST


def test_everything_wrong_with_rules_is_told_with_its_place() -> None:
    documents = [
        AccessRule(name="a", when="request.modle == 'x'"),
        AccessRule(name="b", surfaces=["chat_completion", "zzz"], when="user =="),
        AccessRule(name="c", surfaces=["embeddings", "batches_create"], images=False),
        AccessRule(name="d"),
    ]
    errors: list[ConfigError] = []
    build_access(documents, errors)
    assert [error.path for error in errors] == [
        "access[0].when",
        "access[1].when",
        "access[1].surfaces[0]",
        "access[1].surfaces[1]",
        "access[2].surfaces[1]",
    ]
    messages = [error.message for error in errors]
    assert "did you mean `model`?" in messages[0]
    assert "character 8" in messages[1]
    assert "did you mean `chat_completions`?" in messages[2]
    assert "use `chat_completions`" in messages[3]
    assert "passed on unread" in messages[4]


def test_names_of_surfaces() -> None:
    assert all(find_surface_error(name) is None for name in SURFACES)
    assert "did you mean `messages`?" in str(find_surface_error("message"))


def test_the_limits_member_is_asked_of_the_dialects_own_codec() -> None:
    members = {dialect.name: limit_member(dialect) for dialect in DIALECTS if dialect.chat is not None}
    assert members["ollama.chat"] == "options.num_predict"
    assert members["google.generate_content"] == "generationConfig.maxOutputTokens"
    with pytest.raises(ValueError, match="no chat dialect"):
        limit_member(SURFACES["embeddings"][1])


# -- scopes -----------------------------------------------------------------------------------------------------------


def scoped(**members: tuple[str, ...]) -> Consumer:
    return Consumer("acme/search/indexer", "k-1", scopes=Scopes(**members))


@pytest.mark.parametrize("rules", [[], [{}], [{"when": "true"}], [{"consumers": ["acme/*"]}]])
def test_scopes_narrow_with_rules_and_without(rules: list[dict[str, Any]]) -> None:
    access = built(*rules)
    consumer = scoped(models=("gpt-*", "o3"), surfaces=("chat_completions", "embeddings"))
    access.check(call(consumer), "")
    access.check(call(consumer, "o3", "embeddings"), "")
    error = refusal(access, call(consumer, "o3-mini"))
    assert error.message == "This key is not for the model `o3-mini`; it is for `gpt-*`, `o3`."
    assert error.param == "model"
    error = refusal(access, call(consumer, surface="messages"))
    assert error.message == "This key is not for the surface `messages`; it is for `chat_completions`, `embeddings`."


def test_a_key_for_models_reads_why_it_may_not_run_batches() -> None:
    error = refusal(Access(), call(scoped(models=("gpt-4.1",)), surface="batches_create"))
    assert error.message == (
        "This key is for some models only. On the surface `batches_create` any of the provider's could be run, so the "
        "key must be for that surface too."
    )
    Access().check(call(scoped(models=("gpt-4.1",), surfaces=("batches_create",)), surface="batches_create"), "")


def test_scopes_never_widen() -> None:
    access = built({"models": ["claude-*"]})
    refusal(access, call(scoped(models=("gpt-4.1",))))
    refusal(access, call(scoped(networks=("10.0.0.0/8",))), "10.1.1.1")


@pytest.mark.parametrize(
    ("networks", "inside", "outside"),
    [
        (("10.0.0.0/8",), ["10.1.2.3", "::ffff:10.1.2.3"], ["11.0.0.1", "::ffff:11.0.0.1", "::1", "", "unix", "::"]),
        (("192.0.2.7",), ["192.0.2.7"], ["192.0.2.8"]),
        (("192.0.2.7/24",), ["192.0.2.200"], ["192.0.3.1"]),
        (("::ffff:10.0.0.0/104",), ["10.1.2.3", "::ffff:10.1.2.3"], ["11.0.0.1", "::ffff:11.0.0.1"]),
        (("2001:db8::/32", "10.0.0.0/8"), ["2001:db8::1", "10.0.0.1"], ["2001:db9::1", "127.0.0.1"]),
        (("fe80::/10",), ["fe80::1%eth0"], ["fec0::1%eth0"]),
        (("::/0",), ["2001:db8::1"], ["10.0.0.1", "::ffff:10.0.0.1"]),
        (("0.0.0.0/0",), ["10.0.0.1", "::ffff:10.0.0.1"], ["2001:db8::1"]),
        (("no network",), [], ["10.0.0.1", "no network"]),
    ],
)
@pytest.mark.parametrize("rules", [[], [{}], [{"when": "true"}]])
def test_networks(
    networks: tuple[str, ...], inside: list[str], outside: list[str], rules: list[dict[str, Any]]
) -> None:
    access = built(*rules)
    consumer = scoped(networks=networks)
    for _ in range(2):
        for address in inside:
            access.check(call(consumer), address)
            access.check_address(consumer, address)
        for address in outside:
            assert "may not be used from" in refusal(access, call(consumer), address).message
            with pytest.raises(GatewayError):
                access.check_address(consumer, address)


def test_a_key_bound_to_nothing_may_come_from_anywhere() -> None:
    Access().check_address(INDEXER, "")
    Access().check_address(scoped(models=("a",)), "")


@given(st.ip_addresses(v=4), st.ip_addresses(v=4), st.integers(0, 32))
def test_an_ipv4_address_is_the_same_within_ipv6(address: Any, network: Any, length: int) -> None:
    text = f"{network}/{length}"
    is_inside = address in parse_network(text)
    assert parse_network(f"::ffff:{network}/{96 + length}") == parse_network(text)
    access, x = Access(), call(scoped(networks=(text,)))
    for form in (str(address), f"::ffff:{address}"):
        if is_inside:
            access.check(x, form)
        else:
            refusal(access, x, form)


# -- lists ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "consumer", "listed"),
    [
        ([{"models": ["a"]}], INDEXER, "a"),
        ([{"models": ["b*", "c"]}], INDEXER, "bc"),
        ([{"consumers": ["other/*"]}], INDEXER, ""),
        ([{"models": ["a"], "when": "false"}, {"models": ["b"], "max_tokens": 5}], INDEXER, "ab"),
        ([{"issuers": ["staff"]}], INDEXER, ""),
        ([{"issuers": ["staff"]}], STAFF, "abc"),
        ([], scoped(models=("b",)), "b"),
        ([{"models": ["a", "b"]}], scoped(models=("b", "c")), "b"),
        ([{"surfaces": ["messages"]}], scoped(surfaces=("embeddings",)), ""),
        ([{"surfaces": ["messages"]}, {"models": ["c"]}], scoped(surfaces=("embeddings",)), "c"),
        ([{}], scoped(networks=("10.0.0.0/8",)), "abc"),
    ],
)
def test_only_what_may_be_called_is_listed(rules: list[dict[str, Any]], consumer: Consumer, listed: str) -> None:
    access = built(*rules)
    assert [name for name in "abc" if access.is_listed(consumer, name)] == list(listed)


PATTERNS = st.lists(st.sampled_from(["a", "a*", "ab", "b", "*"]), max_size=2)
RULES = st.lists(
    st.fixed_dictionaries(
        {
            "consumers": st.lists(st.sampled_from(["acme/*", "other/*", "acme/search/indexer"]), max_size=2),
            "models": PATTERNS,
            "surfaces": st.lists(st.sampled_from(["chat_completions", "messages", "moderations"]), max_size=2),
            "when": st.sampled_from([None, "true", "false"]),
        }
    ),
    max_size=4,
)


@given(RULES, PATTERNS, st.lists(st.sampled_from(["chat_completions", "messages"]), max_size=1), st.sampled_from("abc"))
def test_decisions_are_those_of_the_definition(
    rules: list[dict[str, Any]], models: list[str], surfaces: list[str], model: str
) -> None:
    access = built(*rules)
    consumer = scoped(models=tuple(models), surfaces=tuple(surfaces))

    def is_in(patterns: list[str], name: str) -> bool:
        return not patterns or any(
            name == pattern or (pattern[-1] == "*" and name.startswith(pattern[:-1])) for pattern in patterns
        )

    for surface in ("chat_completions", "messages", "moderations"):
        x = call(consumer, model, surface)
        in_scope = is_in(models, model) and is_in(surfaces, surface)
        covering = [
            rule
            for rule in rules
            if is_in(rule["consumers"], consumer.path)
            and is_in(rule["models"], model)
            and is_in(rule["surfaces"], surface)
        ]
        allowed = in_scope and (not rules or any(rule["when"] != "false" for rule in covering))
        for _ in range(2):
            if allowed:
                access.check(x, "")
            else:
                refusal(access, x)
        if allowed:
            assert access.is_listed(consumer, model)


# -- models that a request names beside its own ------------------------------------------------------------------------

HOSTED = World().snapshot(
    {
        "providers": {"a": {"type": "host", "url": "http://a.test"}},
        "models": {
            **{name: {"targets": [{"provider": "a"}]} for name in ("cheap", "mid", "dear")},
            "alias": {"targets": [{"provider": "a", "model": "dearest"}]},
        },
    }
)
NARROW = Consumer("acme/search/indexer", scopes=Scopes(models=("cheap", "mid", "alias", "unknown")))


def choosing(consumer: Consumer = INDEXER, **members: Any) -> Exchange:
    x = call(consumer, "cheap", **members)
    x.snapshot, x.model = HOSTED, HOSTED.models.find("cheap")
    return x


@pytest.mark.parametrize(
    ("rules", "consumer", "named", "is_allowed"),
    [
        ([], INDEXER, "nobody", True),
        ([{}], INDEXER, "nobody", True),
        ([{"max_tokens": 5}], INDEXER, "nobody", True),
        ([], NARROW, "cheap", True),
        ([], NARROW, "mid", True),
        ([], NARROW, "dear", False),
        ([], NARROW, "alias", False),
        ([], NARROW, "dearest", False),
        ([], NARROW, "unknown", False),
        ([{}], NARROW, "mid", True),
        ([{}], NARROW, "dear", False),
        ([{"models": ["cheap", "m*"]}], INDEXER, "mid", True),
        ([{"models": ["cheap", "m*"]}], INDEXER, "dear", False),
        ([{"models": ["cheap", "m*"]}], INDEXER, "nobody", False),
        ([{"models": ["cheap"]}, {}], INDEXER, "dear", True),
        ([{"models": ["cheap"]}, {"models": ["mid"]}], INDEXER, "mid", True),
        ([{"models": ["cheap"]}, {"models": ["mid"], "tools": False}], INDEXER, "mid", True),
        ([{"models": ["cheap"]}, {"models": ["mid"], "max_tokens": 4}], INDEXER, "mid", False),
        ([{"models": ["cheap"]}, {"models": ["mid"], "surfaces": ["messages"]}], INDEXER, "mid", False),
        ([{"models": ["cheap"]}, {"max_tokens": 5}], INDEXER, "nobody", True),
        ([{"models": ["cheap"]}, {"max_tokens": 4}], INDEXER, "nobody", False),
        ([{"when": 'request.model != "dear"'}], INDEXER, "mid", True),
        ([{"when": 'request.model != "dear"'}], INDEXER, "dear", False),
        ([{"when": 'request.published_model == "cheap"'}], INDEXER, "mid", False),
        ([{"when": "size(request.model) > 1"}], INDEXER, "nobody", False),
        ([{"when": "!request.stream"}], INDEXER, "nobody", True),
    ],
)
def test_whoever_may_call_some_models_may_name_no_others(
    rules: list[dict[str, Any]], consumer: Consumer, named: str, is_allowed: bool
) -> None:
    access = built(*rules)
    for members in ({"models": ["cheap", named]}, {"fallbacks": [{"model": named}]}):
        x = choosing(consumer, max_tokens=5, **members)
        for _ in range(2):
            if is_allowed:
                access.check(x, "")
            else:
                assert refusal(access, x).param == next(iter(members))
            assert (x.requested_model, x.published_model) == ("cheap", "cheap")


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"preset": "p"}, "`preset` lets the provider choose a model, and you may call some models only."),
        (
            {"models": ["nobody"]},
            "`models` names `nobody`, which is not published here by the provider's name for it, and you may call some "
            "models only.",
        ),
        (
            {"models": ["dear"]},
            "`models` names `dear`. This key is not for the model `dear`; it is for `cheap`, `mid`, `alias`, "
            "`unknown`.",
        ),
    ],
)
def test_what_else_a_request_may_not_name_is_said(members: dict[str, Any], words: str) -> None:
    assert refusal(Access(), choosing(NARROW, **members)).message == words


# -- what is remembered -----------------------------------------------------------------------------------------------


def test_verdicts_of_one_credential_do_not_hold_for_another() -> None:
    access = built({"consumers": ["acme/*"], "issuers": ["staff"]}, {"models": ["free"]})
    bob = Consumer("acme/staff/bob")
    for _ in range(2):
        access.check(call(STAFF), "")
        refusal(access, call(bob))
        refusal(access, call(msgspec.structs.replace(STAFF, scopes=Scopes(models=("free",)))))
        access.check(call(bob, "free"), "")


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_KEPT", 3)
    monkeypatch.setattr(module, "_MAX_ADDRESSES", 3)
    access = built({"consumers": ["acme/*"]})
    for index in range(10):
        access.check(call(Consumer(f"acme/{index}/a", scopes=Scopes(networks=("10.0.0.0/8",)))), "10.0.0.1")
        access.check(call(scoped(networks=("10.0.0.0/8",))), f"10.0.0.{index}")
        access.check(call(model="m" * 300 + str(index)), "")
    assert len(access._verdicts) <= 3
    assert len(access._own_rules) <= 3
    assert not any(len(key[0]) > 256 for key in access._verdicts)
    assert all(verdict is None or len(verdict.addresses) <= 3 for verdict in access._verdicts.values())


# -- in an exchange ---------------------------------------------------------------------------------------------------


def opened(world: World, rule: dict[str, Any], body: bytes, decoded: list[int] | None = None) -> Exchange:
    model = {"targets": [{"provider": "c", "model": "claude"}]}
    snapshot = world.snapshot(
        {"providers": {"c": {"type": "claude"}}, "models": {"m": model}, "access": [{"name": "r"} | rule]}
    )
    x = world.exchange(snapshot, body)
    x.surface, dialect = SURFACES["chat_completions"]
    assert dialect.chat is not None
    decode = dialect.chat.decode_request

    def counting(*arguments: Any) -> ChatRequest:
        if decoded is not None:
            decoded.append(1)
        return decode(*arguments)

    codec = msgspec.structs.replace(dialect.chat, decode_request=counting)
    x.dialect = msgspec.structs.replace(dialect, chat=codec)
    world.script = [Answer(200, b'{"type": "message", "role": "assistant", "content": [], "model": "claude"}')]
    asyncio.run(open_exchange(x, x.dialect, world.ports, world.send))
    return x


BODY = b'{"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "Hello"}]}'


def test_a_refused_call_sends_nothing() -> None:
    world = World(0.0)
    with pytest.raises(GatewayError) as refused:
        opened(world, {"max_tokens": 4}, BODY)
    assert refused.value.kind is Kind.FORBIDDEN
    assert world.sent == []


@pytest.mark.parametrize("rule", [{}, {"max_tokens": 5, "images": False, "when": "request.tools == 0"}])
def test_a_translated_call_is_decoded_once_whatever_the_rules_ask(rule: dict[str, Any]) -> None:
    world, decoded = World(0.0), list[int]()
    opened(world, rule, BODY, decoded)
    assert len(world.sent) == 1
    assert len(decoded) == 1
