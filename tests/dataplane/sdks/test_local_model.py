"""The bundled model, a real one, answers every client dialect, plain and streamed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from clients.all import CLIENTS
from clients.told import Address
from suite import KEY

from gatewright.cli.models_dir import models_dir
from gatewright.providers.local import BUNDLED
from gatewright.server.local_children import installed_models
from gatewright.testing.gateway import GatewayProcess, key_hash

pytestmark = [
    pytest.mark.sockets,
    pytest.mark.sdks,
    pytest.mark.local_model,
    pytest.mark.skipif(
        set(installed_models(models_dir())) != set(BUNDLED), reason="the weights are not here: make setup"
    ),
]


@pytest.fixture(scope="module")
def address(certificate: tuple[str, str]) -> Iterator[Address]:
    """A gateway with TLS, which is what boto3 wants, so that one does for all."""
    leaf, ca = certificate
    config = {
        "providers": {"laptop": {"type": "local"}},
        "models": {"assistant": {"targets": [{"provider": "laptop", "model": "smollm2"}]}},
        "consumers": {"acme": {"teams": {"search": {"apps": {"indexer": {"keys": [key_hash(KEY)]}}}}}},
        "tls": {"certificate": leaf, "key": leaf},
    }
    with (
        GatewayProcess(config, environment={"GATEWRIGHT_MODELS": str(models_dir())}) as gateway,
        pytest.MonkeyPatch.context() as environment,
    ):
        gateway.wait_for(lambda: b'"reasons":[]' in gateway.admin("/readyz")[1], 30.0)
        environment.setenv("AWS_BEARER_TOKEN_BEDROCK", KEY)
        # What the other SDKs' HTTP clients trust.
        environment.setenv("SSL_CERT_FILE", ca)
        yield Address(f"https://localhost:{gateway.address[1]}", KEY, ca)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("client", CLIENTS)
def test_a_real_answer(client: str, stream: bool, address: Address) -> None:
    told = CLIENTS[client].begin(address, "assistant").ask(stream=stream, limit=24)
    assert len(told.text) > 10
    assert told.finish in (CLIENTS[client].FINISH["stop"], CLIENTS[client].FINISH["length"])
    assert told.counts["input"] > 10
    assert 1 < told.counts["output"] <= 24
