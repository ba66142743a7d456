import msgspec
import pytest

from gatewright.config.check import convert
from gatewright.config.documents import Gateway
from gatewright.config.rules import find_errors, find_warnings
from gatewright.core.secret import Secret

HASH = "sha256:" + "0" * 64
GOOD = {
    "providers": {"openai": {"type": "openai"}, "laptop": {"type": "local"}},
    "models": {
        "assistant": {"targets": [{"provider": "openai", "model": "x"}], "fallback": [{"provider": "laptop"}]},
        "gpt-*": {"targets": [{"provider": "openai"}]},
    },
    "consumers": {"acme": {"teams": {"search": {"apps": {"indexer": {"keys": [HASH]}}}}}},
    "policies": [{"filter": "f", "on": {"models": ["gpt-4*", "assistant"], "consumers": ["acme/*"]}}],
}


def document(**changes: object) -> Gateway:
    made, errors = convert({**GOOD, **changes}, Gateway)
    assert errors == []
    assert made is not None
    return made


def errors(**changes: object) -> list[str]:
    return [str(error) for error in find_errors(document(**changes))]


def warnings(**changes: object) -> list[str]:
    return [str(warning) for warning in find_warnings(document(**changes))]


def targets(*entries: object, name: str = "m") -> dict[str, object]:
    return {"models": {name: {"targets": list(entries)}}}


def dry(name: object) -> dict[str, object]:
    return {"policies": [{"filter": "f"}, {"filter": "budget", "config": {"usd": 1, "when_dry": name}}]}


@pytest.mark.parametrize("name", ["assistant", "gpt-4.1", "gpt-", Secret("assistant"), None, "", 7])
def test_the_model_that_answers_when_a_budget_is_dry_is_published(name: object) -> None:
    assert errors(**dry(name)) == []


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("asistant", "did you mean `assistant`?"),
        ("cheap", "publish it under `models`, or name one that is there"),
        (Secret("cheap"), "publish it under `models`, or name one that is there"),
        ("assist*", "did you mean `assistant`?"),
    ],
)
def test_one_that_is_not_is_told(name: object, advice: str) -> None:
    (error,) = errors(**dry(name))
    assert error.startswith("policies[1].config.when_dry: there is no model `")
    assert error.endswith(advice)
    assert find_errors(document(**dry(name)), {"models"}) == []


def test_what_fits_together_passes_in_silence() -> None:
    assert errors() == []
    assert warnings() == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"listen": "8080"}, "listen: cannot listen there: write HOST:PORT, such as 127.0.0.1:8080"),
        ({"admin": "localhost"}, "admin: cannot listen there: write HOST:PORT, such as 127.0.0.1:8080"),
        ({"admin": "127.0.0.1:8080"}, "admin: must differ from `listen` (127.0.0.1:8080); give it another port"),
        ({"admin": "0.0.0.0:8080"}, "admin: must differ from `listen` (127.0.0.1:8080); give it another port"),
        ({"listen": "[::]:8081"}, "admin: must differ from `listen` ([::]:8081); give it another port"),
        (
            {"cors": {"origins": ["*", "https://a.b", "https://a.b/c"]}},
            "cors.origins[2]: is not an origin; write scheme and host without a path",
        ),
        ({"cors": {"origins": ["a.b"]}}, "cors.origins[0]: is not an origin"),
        ({"cors": {"origins": ["https://*.a.b"]}}, "cors.origins[0]: is not an origin"),
        (targets({"provider": "opnai"}), "models.m.targets[0].provider: there is no provider `opnai`; did you mean"),
        (
            targets({"provider": "zzz"}),
            "models.m.targets[0].provider: there is no provider `zzz`; add it under `providers`, or use one of "
            "`openai`, `laptop`",
        ),
        (
            {"models": {"m": {"targets": [{"provider": "openai"}], "fallback": [{"provider": "zzz"}]}}},
            "models.m.fallback[0].provider: there is no provider `zzz`",
        ),
        (
            targets({"provider": "openai", "weight": 0}, {"provider": "laptop", "weight": 0}),
            "models.m.targets: every target has weight 0, so none is ever chosen; give one at least 1",
        ),
        (targets({"provider": "openai"}, name="g*t"), "models.g*t: a pattern has one `*`, at its end; write `g*`"),
        (targets({"provider": "openai"}, name="**"), "models.**: a pattern has one `*`, at its end; write `*`"),
        (targets({"provider": "openai"}, name="a b"), "models.a b: a model's name must have 1 to 256 visible"),
        (targets({"provider": "openai"}, name=""), "models.: a model's name must have 1 to 256 visible characters"),
        (targets({"provider": "openai"}, name="m" * 257), "models.mmm"),
        ({"consumers": {"a/b": {}}}, "consumers.a/b: a consumer's name may hold letters, digits and . _ - only"),
        ({"consumers": {"a": {"teams": {"ü": {}}}}}, "consumers.a.teams.ü: a consumer's name may hold letters"),
        (
            {"consumers": {"a": {"teams": {"t": {"apps": {"x y": {}}}}}}},
            "consumers.a.teams.t.apps.x y: a consumer's name may hold letters",
        ),
        (
            {"consumers": {"a": {"teams": {"t": {"apps": {"x": {"keys": [HASH]}, "y": {"keys": [HASH]}}}}}}},
            "consumers.a.teams.t.apps.y.keys[0]: this key stands at consumers.a.teams.t.apps.x.keys[0] already; a key "
            "belongs to one application, so remove one",
        ),
        (
            {"policies": [{"filter": "f", "on": {"consumers": ["*/search"]}}]},
            "policies[0].on.consumers[0]: a pattern has one `*`, at its end; write `*`",
        ),
    ],
)
def test_what_does_not_fit_is_told(changes: dict[str, object], message: str) -> None:
    (told,) = errors(**changes)
    assert told.startswith(message)


@pytest.mark.parametrize(
    ("provider", "message"),
    [
        ({}, "providers.p: `type` is missing; add `type: …`"),
        ({"typ": "x"}, "providers.p: `type` is missing; did you mean it by `typ`?"),
        ({"type": 5}, "providers.p.type: expected text: the provider type"),
        ({"type": "x", "tls": {"key": "k"}}, "providers.p.tls: `certificate` is missing; a client certificate and its"),
        ({"type": "x", "tls": {"certificate": "c"}}, "providers.p.tls: `key` is missing; a client certificate and"),
    ],
)
def test_what_any_provider_needs(provider: dict[str, object], message: str) -> None:
    (told,) = errors(providers={"p": provider}, models={})
    assert told.startswith(message)


def test_a_provider_may_be_right_in_many_ways() -> None:
    providers = {"a": {"type": Secret("openai")}, "b": {"type": "x", "tls": {"certificate": "c", "key": "k"}}}
    assert errors(providers=providers, models={}) == []
    (told,) = errors(providers={"a b": {"type": "x"}}, models={})
    assert told.startswith("providers.a b: a provider's name may hold letters, digits and . _ - only")


def test_a_provider_is_asked_for_when_there_is_none() -> None:
    (told,) = errors(providers={}, **targets({"provider": "openai"}))
    assert told == "models.m.targets[0].provider: there is no provider `openai`; add it under `providers`"


def test_among_many_providers_only_some_are_named() -> None:
    providers = {f"provider-{i}": {"type": "x"} for i in range(100)}
    (told,) = errors(providers=providers, **targets({"provider": "zzz"}))
    assert told.endswith("`provider-11`, …")


@pytest.mark.parametrize("listen", ["0.0.0.0:8080", "10.0.0.1:8080", "gateway.example.com:8080", "[::]:8080"])
def test_the_door_is_not_left_open_by_accident(listen: str) -> None:
    (told,) = errors(listen=listen, consumers={}, policies=[])
    assert told == (
        f"listen: {listen} can be reached from the network, but no consumers are configured; add `anonymous: false` to "
        "serve those only who have a key (`gatewright keys create` makes one), or `anonymous: true` to serve whoever "
        "reaches it, or listen on 127.0.0.1"
    )
    for anonymous in (True, False):
        assert errors(listen=listen, consumers={}, policies=[], anonymous=anonymous) == []
    assert errors(listen=listen) == []


ISSUERS = {"issuers": {"corp": {"issuer": "https://login.example", "audience": ["gw"], "consumer": "a/b/${azp}"}}}


def test_callers_of_an_identity_provider_are_callers() -> None:
    only = {"consumers": {}, "policies": [{"filter": "f", "on": {"consumers": ["a/sales/*"]}}], "identity": ISSUERS}
    assert errors(listen="0.0.0.0:8080", **only) == []
    assert warnings(**only) == []
    assert warnings(**only, anonymous=False) == []


def test_certificates_must_be_asked_for() -> None:
    certificates = {"certificates": {"consumer": "acme/search/${subject.CN}"}}
    tls = {"certificate": "/c", "key": "/k"}
    for given in ({}, {"tls": tls}):
        (told,) = errors(identity=certificates, **given)
        assert told.startswith("identity.certificates: clients are not asked for a certificate")
    assert errors(identity=certificates, tls={**tls, "client_ca": "/a"}) == []


def test_two_free_ports_are_two_ports() -> None:
    assert errors(listen="127.0.0.1:0", admin="127.0.0.1:0") == []


def test_no_conclusions_are_drawn_from_what_is_broken() -> None:
    opened = document(listen="0.0.0.0:8080", consumers={}, policies=[])
    assert find_errors(opened, {"consumers"}) == []
    dangling = document(providers={})
    assert len(find_errors(dangling)) == 3
    assert find_errors(dangling, {"providers"}) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"policies": [{"filter": "f", "on": {"models": ["asistant"]}}]},
            "policies[0].on.models[0]: no model matches `asistant`; did you mean `assistant`?",
        ),
        (
            {"policies": [{"filter": "f", "on": {"consumers": ["acme/serach/indexer"]}}]},
            "policies[0].on.consumers[0]: no consumer of the configuration matches `acme/serach/indexer`; did you mean "
            "`acme/search/indexer`?",
        ),
        (
            {"policies": [{"filter": "f", "on": {"models": ["zz*"]}}]},
            "policies[0].on.models[0]: no model matches `zz*`; the policy applies to no model by it",
        ),
        (
            {"models": {}, "policies": []},
            "models: no model is published, so there is nothing to call; add one under `models`",
        ),
    ],
)
def test_what_is_hardly_meant_is_told(changes: dict[str, object], message: str) -> None:
    (told,) = warnings(**changes)
    assert told.startswith(message)


@pytest.mark.parametrize("selector", ["assistant", "gpt-4.1", "gpt-*", "g*", "gpt-4*", "*"])
def test_selectors_of_models_that_match(selector: str) -> None:
    assert warnings(policies=[{"filter": "f", "on": {"models": [selector]}}]) == []


@pytest.mark.parametrize("selector", ["acme", "acme/search", "acme/search/indexer", "acme/*", "acme/s*", "*"])
def test_selectors_of_consumers_that_match(selector: str) -> None:
    assert warnings(policies=[{"filter": "f", "on": {"consumers": [selector]}}]) == []


def test_a_key_of_the_database_may_be_of_any_consumer() -> None:
    assert warnings(policies=[{"filter": "f", "on": {"consumers": ["zebra/*"]}}]) == []
    assert warnings(consumers={"acme": {}}, policies=[]) == []
    assert warnings(consumers={}, policies=[], anonymous=False) == []


def test_names_of_policies_differ_since_what_is_used_is_kept_under_them() -> None:
    policy = {"filter": "budget", "name": "b", "config": {"usd": 1}}
    document = msgspec.convert(
        {"policies": [policy, {"filter": "rate_limit"}, policy, {"filter": "rate_limit"}]}, Gateway
    )
    (error,) = find_errors(document)
    assert error.path == "policies[2].name"
    assert "`b` is the name of policies[0] already" in error.message


def test_what_counters_need_is_said() -> None:
    document = msgspec.convert({"counters": {"store": "redis"}}, Gateway)
    (error,) = find_errors(document)
    assert error.path == "counters.url"
