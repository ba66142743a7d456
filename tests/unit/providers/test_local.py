from typing import Any

import pytest

from gatewright.config.check import convert
from gatewright.providers.local import BUNDLED, LOCAL, Config, LocalModel, build, is_local, models_of


def configured(**fields: Any) -> Config:
    config, errors = convert({"type": "local", **fields}, Config)
    assert config is not None, errors
    return config


def test_without_an_address_it_compiles_for_a_check_of_the_configuration() -> None:
    upstream = build("laptop", configured())
    assert set(upstream.paths) == {"openai.chat", "openai.completions", "openai.embeddings"}
    assert (upstream.origin.host, upstream.origin.port) == ("127.0.0.1", 1)


@pytest.mark.parametrize(
    ("kind", "dialects"), [("chat", {"openai.chat", "openai.completions"}), ("embedding", {"openai.embeddings"})]
)
def test_a_running_model_speaks_only_what_it_is_for(kind: str, dialects: set[str]) -> None:
    models = {"mine": {"path": "/m.gguf", "kind": kind}}
    upstream = build("laptop/mine", configured(url="http://127.0.0.1:4321/v1", models=models))
    assert set(upstream.paths) == dialects
    assert all(path.startswith("/v1/") for path in upstream.paths.values())
    assert upstream.origin.port == 4321


def test_it_offers_the_bundled_models_and_those_it_is_given() -> None:
    models = models_of(configured(models={"mine": {"path": "/m.gguf"}}), "/weights")
    assert set(models) == {*BUNDLED, "mine"}
    assert models["embed"] == LocalModel(
        path=f"/weights/{BUNDLED['embed'].file}", kind="embedding", context_tokens=BUNDLED["embed"].context_tokens
    )
    assert models["mine"] == LocalModel(path="/m.gguf", kind="chat", context_tokens=4096)


def test_a_bundled_name_can_be_given_other_weights() -> None:
    assert models_of(configured(models={"smollm2": {"path": "/big.gguf"}}), "/weights")["smollm2"].path == "/big.gguf"


def test_what_is_wrong_in_a_model_is_told() -> None:
    config, errors = convert({"type": "local", "models": {"mine": {"kind": "picture"}}}, Config, "providers.laptop")
    assert config is None
    assert {error.path for error in errors} == {"providers.laptop.models.mine", "providers.laptop.models.mine.kind"}


@pytest.mark.parametrize("start_s", [0, -1, 3601, "long"])
def test_the_time_to_load_is_bounded(start_s: object) -> None:
    config, errors = convert({"type": "local", "start_s": start_s}, Config, "providers.laptop")
    assert config is None
    assert [error.path for error in errors] == ["providers.laptop.start_s"]


def test_it_is_recognised_by_its_type() -> None:
    assert is_local({"type": LOCAL.name})
    assert not is_local({"type": "openai"})
    assert not is_local({})
