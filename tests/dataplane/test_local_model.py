"""The bundled models for real: llama.cpp as the gateway's own processes, through the gateway, by SDK and raw socket."""

from __future__ import annotations

import base64
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
from suite import render_call

from gatewright.cli.demo import cosine
from gatewright.cli.models_dir import models_dir
from gatewright.providers.local import BUNDLED
from gatewright.server.local_children import installed_models
from gatewright.testing.gateway import GatewayProcess, Process, key_hash

pytestmark = [
    pytest.mark.sockets,
    pytest.mark.local_model,
    pytest.mark.skipif(
        set(installed_models(models_dir())) != set(BUNDLED), reason="the weights are not here: make setup"
    ),
]

KEY = "sk-test-hostile"
QUESTION = [{"role": "user", "content": "What colour is the sky?"}]
NOVEL = [{"role": "user", "content": "Write a very long novel."}]


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    config = {
        "providers": {"laptop": {"type": "local"}},
        "models": {
            "assistant": {"targets": [{"provider": "laptop", "model": "smollm2"}]},
            "smollm2": {"targets": [{"provider": "laptop"}]},
            "embed": {"targets": [{"provider": "laptop", "model": "embed"}]},
        },
        "consumers": {"acme": {"teams": {"search": {"apps": {"indexer": {"keys": [key_hash(KEY)]}}}}}},
        "log": {"access": "json"},
    }
    with GatewayProcess(config, environment={"GATEWRIGHT_MODELS": str(models_dir())}) as running:
        wait_until_loaded(running)
        yield running


def wait_until_loaded(gateway: GatewayProcess) -> None:
    gateway.wait_for(lambda: b'"reasons":[]' in gateway.admin("/readyz")[1], 30.0)


def children(gateway: GatewayProcess) -> list[Process]:
    return [process for process in gateway.processes() if process.role == "local_model"]


@pytest.fixture(scope="module")
def client(gateway: GatewayProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=gateway.url, api_key=KEY, max_retries=0, timeout=60.0) as made:
        yield made


def test_one_process_per_model_that_a_target_names(gateway: GatewayProcess) -> None:
    assert len(children(gateway)) == 2


def test_a_chat_answers_under_the_name_it_was_called_by(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="assistant", messages=QUESTION, max_tokens=24, temperature=0)
    assert "blue" in (answer.choices[0].message.content or "")
    assert answer.model == "assistant"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > 10
    assert 0 < answer.usage.completion_tokens <= 24


def test_a_stream_says_what_the_plain_answer_says(client: openai.OpenAI) -> None:
    options: dict[str, Any] = {"model": "smollm2", "messages": QUESTION, "max_tokens": 24, "temperature": 0, "seed": 1}
    plain = client.chat.completions.create(**options)
    chunks = list(client.chat.completions.create(**options, stream=True))
    assert len(chunks) > 3
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == plain.choices[0].message.content
    assert all(chunk.usage is None for chunk in chunks), "nobody asked for it"


def test_usage_of_a_stream_when_it_is_asked_for(client: openai.OpenAI, gateway: GatewayProcess) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="smollm2", messages=QUESTION, max_tokens=8, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(raw.parse())
    assert chunks[-1].usage is not None
    assert 0 < chunks[-1].usage.completion_tokens <= 8
    request_id = raw.headers["x-request-id"]
    gateway.wait_for(lambda: any(line["id"] == request_id for line in gateway.access_log()))
    (line,) = (line for line in gateway.access_log() if line["id"] == request_id)
    assert line["output_tokens"] == chunks[-1].usage.completion_tokens
    assert line["provider"] == "laptop/smollm2"


def test_a_plain_completion(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="smollm2", prompt="The capital of France is", max_tokens=4, temperature=0)
    assert "Paris" in answer.choices[0].text


def test_sentences_that_mean_the_same_are_alike(client: openai.OpenAI) -> None:
    texts = ["How do I reset my password?", "I forgot my login credentials.", "The cat sat on the mat."]
    answer = client.embeddings.create(model="embed", input=texts)
    one, same, other = (entry.embedding for entry in answer.data)
    assert len(one) == 384
    assert cosine(one, same) > 0.5 > 0.3 > cosine(one, other)
    assert answer.usage.prompt_tokens > 15
    assert answer.model == "embed"


def test_vectors_are_the_same_in_both_encodings(client: openai.OpenAI) -> None:
    plain = client.embeddings.create(model="embed", input="hello", encoding_format="float").data[0].embedding
    packed: Any = client.embeddings.create(model="embed", input="hello", encoding_format="base64").data[0].embedding
    unpacked = struct.unpack("<384f", base64.b64decode(packed)) if isinstance(packed, str) else packed
    assert plain == pytest.approx(unpacked, abs=1e-6)


def test_a_batch_keeps_its_order(client: openai.OpenAI) -> None:
    texts = [f"sentence number {number}" for number in range(40)]
    batch = client.embeddings.create(model="embed", input=texts).data
    alone = client.embeddings.create(model="embed", input=texts[17]).data[0].embedding
    assert [entry.index for entry in batch] == list(range(40))
    assert cosine(batch[17].embedding, alone) > 0.999


def test_more_requests_than_places_wait_their_turn(client: openai.OpenAI) -> None:
    def ask(number: int) -> int:
        messages = [{"role": "user", "content": f"Tell me about the number {number}."}]
        answer = client.chat.completions.create(model="smollm2", messages=messages, max_tokens=12)  # type: ignore[arg-type]
        return len(answer.choices[0].message.content or "")

    with ThreadPoolExecutor(8) as callers:
        assert all(callers.map(ask, range(8)))


def test_clients_that_leave_free_their_places(gateway: GatewayProcess, client: openai.OpenAI) -> None:
    """Both places write for a minute when left alone; who comes after the two that left is served at once."""
    call = {"model": "smollm2", "messages": NOVEL, "stream": True, "max_tokens": 3500, "ignore_eos": True}
    for _ in range(2):
        with gateway.connect() as leaving:
            leaving.send(render_call(call))
            leaving.receive_head()
    began = time.monotonic()
    client.chat.completions.create(model="smollm2", messages=QUESTION, max_tokens=4)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/v1/chat/completions", {"model": "smollm2"}, "messages"),
        ("/v1/embeddings", {"model": "embed"}, "input"),
        ("/v1/embeddings", {"model": "embed", "input": "word " * 600}, "context"),
        ("/v1/embeddings", {"model": "embed", "input": "word " * 20_000}, "context"),
        ("/v1/embeddings", {"model": "smollm2", "input": "hello"}, "does not speak"),
        ("/v1/chat/completions", {"model": "embed", "messages": QUESTION}, "does not speak"),
    ],
)
def test_what_is_wrong_with_a_request_is_the_clients_error(
    path: str, body: dict[str, Any], message: str, gateway: GatewayProcess
) -> None:
    with gateway.connect(timeout_s=20.0) as raw:
        raw.send(render_call(body, path))
        answer = raw.receive()
    assert answer.status == 400
    assert message in answer.json()["error"]["message"]
    assert str(models_dir()) not in answer.body.decode(), "no path of this machine leaves it"


def test_a_model_that_dies_is_started_again_and_disturbs_nobody(gateway: GatewayProcess, client: openai.OpenAI) -> None:
    workers = [worker.pid for worker in gateway.workers()]
    before = {child.pid for child in children(gateway)}
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    gateway.wait_for(lambda: len({child.pid for child in children(gateway)} - before) == 2, 15.0)
    wait_until_loaded(gateway)
    answer = client.chat.completions.create(model="assistant", messages=QUESTION, max_tokens=4)
    assert answer.choices
    assert [worker.pid for worker in gateway.workers()] == workers


def test_a_reload_cannot_start_a_model_and_keeps_what_runs(gateway: GatewayProcess, client: openai.OpenAI) -> None:
    config = dict(gateway.config)
    broken = dict(config["models"]) | {"more": {"targets": [{"provider": "laptop", "model": "nothing"}]}}
    gateway.write_config({**config, "models": broken})
    gateway.signal(signal.SIGHUP)
    gateway.wait_for(lambda: b"reload was refused" in gateway.admin("/readyz")[1])
    assert client.embeddings.create(model="embed", input="hello").data
    renamed = dict(config["models"]) | {"vectors": {"targets": [{"provider": "laptop", "model": "embed"}]}}
    gateway.write_config({**config, "models": renamed})
    gateway.signal(signal.SIGHUP)
    gateway.wait_for(lambda: "vectors" in {model.id for model in client.models.list()})
    assert client.embeddings.create(model="vectors", input="hello").data
    gateway.write_config(config)


def test_nothing_is_left_of_a_gateway_that_was_killed(gateway: GatewayProcess) -> None:
    """Last in this file: the gateway of the module is gone afterwards."""
    pids = [child.pid for child in children(gateway)]
    assert len(pids) == 2
    os.kill(gateway.pid, signal.SIGKILL)
    gateway.wait_for(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() and is_alive(pid) for pid in pids))


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def local_model(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "gatewright.server.local_model", "--name", "mine", "--port", "0", *arguments]


def test_a_process_whose_supervisor_is_gone_ends_well() -> None:
    model = ("--model", str(models_dir() / BUNDLED["embed"].file), "--kind", "embedding")
    for _ in range(5):  # at once, which is when llama.cpp's own way to end may wait for ever
        done = subprocess.run(
            local_model(*model), stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False
        )
        assert done.returncode == 0, done.stderr.decode()


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "junk.gguf").write_bytes(b"junk")
    model = ("--model", str(tmp_path / "junk.gguf"))
    done = subprocess.run(local_model(*model), stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "junk.gguf cannot be served" in done.stderr.decode()


def test_the_demonstration() -> None:
    """`serve` without a configuration, its development key and every call of the SDK, in one command."""
    start = "import sys; from gatewright.cli.main import main; sys.exit(main())"
    environment = {**os.environ, "GATEWRIGHT_MODELS": str(models_dir()), "OPENAI_API_KEY": "sk-not-to-be-used"}
    done = subprocess.run(
        [sys.executable, "-c", start, "demo"], env=environment, capture_output=True, timeout=90, check=False
    )
    said = done.stdout.decode()
    assert done.returncode == 0, said + done.stderr.decode()
    assert "\nsmollm2, embed\n" in said, "and nothing that a key in the environment would add"
    assert "AuthenticationError: The API key is not valid here." in said
    table = said.partition("CALL\t")[2].splitlines()
    chat = next(line.split("\t") for line in table if line.startswith("chat.completions.create()"))
    assert float(chat[2]) < float(chat[3]), "the model takes the time, not the gateway"
