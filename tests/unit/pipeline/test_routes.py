"""Which dialect a target is called in, and the heads of the requests."""

from typing import Any

import pytest

from gatewright.config.documents import ProviderConfig
from gatewright.core.secret import Secret
from gatewright.dialects import DIALECTS
from gatewright.pipeline.provider import build_upstream
from gatewright.pipeline.routes import build_routes


def routes(paths: dict[str, str], model: str | None = "m") -> Any:
    config = ProviderConfig(type="fake")
    credential = ("x-key", Secret("very-secret"))
    return build_routes(
        build_upstream("up", config, url="https://a.test/v9", paths=paths, credential=credential), model
    )


def test_a_spoken_dialect_is_passed_through() -> None:
    route = routes({"openai.chat": "/chat/completions"})["openai.chat"]
    assert route.is_identity
    assert route.head("m", stream=True).startswith(b"POST /v9/chat/completions HTTP/1.1\r\nhost: a.test\r\n")
    assert route.plain is route.streamed
    assert "very-secret" not in repr(route)


def test_others_of_the_family_go_to_the_first_spoken_one() -> None:
    found = routes({"openai.completions": "/c", "openai.chat": "/chat", "openai.embeddings": "/e"})
    assert set(found) == {dialect.name for dialect in DIALECTS if dialect.family in ("chat", "embeddings")}
    for dialect in DIALECTS:
        if dialect.family == "chat" and not dialect.name.startswith("openai.c"):
            assert (found[dialect.name].dialect.name, found[dialect.name].is_identity) == ("openai.completions", False)


def test_embeddings_are_no_chat() -> None:
    assert {dialect.family for dialect in DIALECTS if dialect.name in routes({"openai.embeddings": "/e"})} == {
        "embeddings"
    }


@pytest.mark.parametrize(
    ("model", "asked", "target"),
    [("org/a b:1", "x", b"/v9/model/org%2Fa%20b%3A1/go"), (None, "org/a b:1", b"/v9/model/org%2Fa%20b%3A1/go")],
)
def test_a_model_in_the_path_is_percent_encoded(model: str | None, asked: str, target: bytes) -> None:
    route = routes({"openai.chat": "/model/{model}/{go|go-stream}"}, model)["openai.chat"]
    assert route.head(asked, stream=False).startswith(b"POST %b HTTP/1.1\r\n" % target)
    assert route.head(asked, stream=True).startswith(b"POST %b-stream HTTP/1.1\r\n" % target)
