"""Recordings of real providers, played through the gateway to every SDK: no call fails and the text stays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pytest
import recorded
from clients.all import CLIENTS
from clients.told import Address
from plays.stage import PROVIDERS, UNTRANSLATED
from suite import KEY, build_config, run_gateway
from tests.truth.recordings import FOLDER, is_here

from gatewright.testing.replay import Replay
from gatewright.testing.upstream import ScriptedUpstream

pytestmark = [
    pytest.mark.sockets,
    pytest.mark.sdks,
    pytest.mark.truth,
    # An item of a hosted tool that is newer than the SDK's types, passed through as it came.
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings"),
    pytest.mark.skipif(not is_here(), reason=f"no recorded traffic at {FOLDER}; set GATEWRIGHT_TRUTH"),
]

SAMPLES: Final = recorded.samples() if is_here() else []
PIECE_BYTES: Final = 1000
"""Cuts events anywhere, also within a character."""


class Player(NamedTuple):
    """A gateway in front of the recordings."""

    replay: Replay
    plain: Address
    secure: Address


@pytest.fixture(scope="module")
def player(certificate: tuple[str, str]) -> Iterator[Player]:
    """Each recording is a model of a provider that speaks its dialect."""
    leaf, ca = certificate
    with ScriptedUpstream() as upstream, pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_BEARER_TOKEN_BEDROCK", KEY)
        replay = Replay(upstream, piece_bytes=PIECE_BYTES)
        for number, sample in enumerate(SAMPLES):
            replay.add(sample.recording, model=f"recording-{number}")
        address = f"http://{upstream.host}:{upstream.port}"
        config = build_config(
            {
                name.replace(".", "-"): {"type": provider.TYPE, "url": address + provider.BASE}
                for name, provider in PROVIDERS.items()
            },
            {
                f"recording-{number}": {"targets": [{"provider": sample.dialect.replace(".", "-")}]}
                for number, sample in enumerate(SAMPLES)
            },
        )
        tls = {"certificate": leaf, "key": leaf}
        with run_gateway(config) as plain, run_gateway({**config, "tls": tls}) as secure:
            yield Player(
                replay,
                Address(plain.url.removesuffix("/v1"), KEY, ca),
                Address(f"https://localhost:{secure.address[1]}", KEY, ca),
            )


def test_there_is_something_to_play() -> None:
    assert {sample.dialect for sample in SAMPLES} == set(PROVIDERS)


@pytest.mark.parametrize(
    ("client", "number"),
    [
        pytest.param(client, number, id=f"{client}<-{sample.recording.name}")
        for client in CLIENTS
        for number, sample in enumerate(SAMPLES)
        if (client, sample.dialect) not in UNTRANSLATED
    ],
)
def test_the_text_is_that_of_the_recording(client: str, number: int, player: Player) -> None:
    sample = SAMPLES[number]
    at: Any = player.secure if client == "bedrock.converse" else player.plain
    told = CLIENTS[client].begin(at, f"recording-{number}").ask(stream=sample.recording.stream)
    assert told.text == sample.text
    assert not player.replay.misses
