"""Each vendor's SDK against each provider dialect: text, thoughts, calls, finish and usage are those of the play."""

from __future__ import annotations

from typing import Any

import pytest
from clients.all import CLIENTS
from clients.told import Told
from plays.facts import COUNTS, PLAYS, RESULTS
from plays.stage import PROVIDERS, UNTRANSLATED, published

pytestmark = [pytest.mark.sockets, pytest.mark.sdks]

PAIRS = [(client, provider) for client in CLIENTS for provider in PROVIDERS if (client, provider) not in UNTRANSLATED]
ANSWERS = [
    pytest.param(*pair, play, stream, id=f"{'<-'.join(pair)}-{play}-{'stream' if stream else 'plain'}")
    for pair in PAIRS
    for play in PLAYS
    if play not in PROVIDERS[pair[1]].LACKS
    for stream in (False, True)
]


def check(told: Told, play_name: str, client: str, provider: str) -> None:
    """What was told is what was played."""
    play = PLAYS[play_name]
    assert told.text == play.text
    assert told.thought == "".join(play.thought)
    assert [(name, arguments) for _, name, arguments in told.calls] == list(play.calls)
    assert told.finish == CLIENTS[client].FINISH[play.finish]
    played = COUNTS._asdict() if play.thought else COUNTS._replace(reasoning=0)._asdict()
    counted = PROVIDERS[provider].COUNTED
    assert told.counts == {name: played[name] if name in counted else 0 for name in told.counts}


@pytest.mark.parametrize(("client", "provider", "play", "stream"), ANSWERS)
def test_answers(client: str, provider: str, play: str, stream: bool, parts: Any) -> None:
    talk = CLIENTS[client].begin(parts.address(client), published(provider, play))
    check(talk.ask(stream=stream, tools=bool(PLAYS[play].calls)), play, client, provider)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(("client", "provider"), PAIRS)
def test_an_agent_that_calls_tools(client: str, provider: str, stream: bool, parts: Any) -> None:
    talk = CLIENTS[client].begin(parts.address(client), published(provider, "thinks-calls"))
    asked = talk.ask(stream=stream, tools=True)
    check(asked, "thinks-calls", client, provider)
    assert len({call_id for call_id, _, _ in asked.calls}) == 2, "ids tell calls apart"

    told = talk.answer(RESULTS, stream=stream)
    assert told.text == "It is 21 degrees at noon."
    assert told.finish == CLIENTS[client].FINISH["stop"]
    turn = parts.stage.last_turn()
    assert [(name, arguments) for _, name, arguments in turn.calls] == list(PLAYS["thinks-calls"].calls)
    ids = {call_id: name for call_id, name, _ in turn.calls}
    assert {ids[call_id]: text for call_id, text in turn.results} == RESULTS
    assert set(turn.tools) == set(RESULTS)
    signature = PROVIDERS[provider].SIGNATURE
    if signature is not None and CLIENTS[client].CARRIES:
        assert turn.signatures == (signature,)
