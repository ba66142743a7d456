"""`gatewright demo`: a real gateway, a real model and the real `openai` SDK, from start to stop in one command."""

from __future__ import annotations

import math
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from msgspec import Struct

from gatewright.cli.defaults import development_key, keep_key
from gatewright.cli.exits import Failure
from gatewright.cli.models_dir import models_dir
from gatewright.cli.output import is_terminal, print_line
from gatewright.cli.tables import print_table
from gatewright.providers import PROVIDERS
from gatewright.server.local_children import installed_models, is_runtime_installed

CHAT_MODEL: Final = "smollm2"
EMBEDDING_MODEL: Final = "embed"
READY_S: Final = 60.0
STOP_S: Final = 15.0
LOG_S: Final = 5.0
"""How long the access-log line of a finished call may take to appear."""

_COMMAND: Final = (sys.executable, "-P", "-c", "import sys; from gatewright.cli.main import main; sys.exit(main())")
_GATEWAY_SHARE: Final = re.compile(r"gateway;dur=([0-9.]+)")
_STEP_S: Final = 0.05
_BOLD, _DIM, _END = "\x1b[1m", "\x1b[2m", "\x1b[0m"
_SENTENCES: Final = (
    ("How do I reset my password?", "I forgot my login credentials."),
    ("How do I reset my password?", "The cat sat on the mat."),
)


class Told(Struct, frozen=True):
    """What an answer's headers say of the call."""

    id: str
    """By which the gateway's log knows it."""
    gateway_ms: float | None = None
    """The gateway's own share, from `Server-Timing`; an error answer does not tell it."""


class Call(Struct, frozen=True):
    """One call of the demonstration."""

    title: str
    told: Told
    seconds: float
    """As the client saw it."""


class Gateway:
    """`gatewright serve` without a configuration, in a directory of its own; ready when entered, gone when left."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.address = f"127.0.0.1:{_free_port()}"
        self._admin = f"127.0.0.1:{_free_port()}"
        key = development_key(directory)
        assert key.key is not None  # the directory is new
        keep_key(key, directory)
        self.key = key.key
        self.started_s = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Gateway:
        began = time.monotonic()
        where = ("--listen", self.address, "--admin", self._admin, "--state", str(self._directory))
        with (self._directory / "stdout").open("wb") as out, (self._directory / "stderr").open("wb") as err:
            self._process = subprocess.Popen(
                [*_COMMAND, "serve", *where], stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=_environment()
            )
        try:
            self._wait_ready(began + READY_S)
        except BaseException:
            self.__exit__()
            raise
        self.started_s = time.monotonic() - began
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def log_lines(self) -> dict[str, dict[str, Any]]:
        """The access log so far, by request id."""
        lines = [line for line in (self._directory / "stdout").read_bytes().splitlines() if line.startswith(b'{"time"')]
        return {entry["id"]: entry for entry in map(msgspec.json.decode, lines)}

    def _wait_ready(self, deadline: float) -> None:
        assert self._process is not None
        while not self._is_ready():
            if self._process.poll() is not None:
                raise Failure(f"the gateway ended with exit code {self._process.returncode}: {self._complaint()}")
            if time.monotonic() > deadline:
                raise Failure(f"the gateway was not ready after {READY_S:.0f} s: {self._complaint()}")
            time.sleep(_STEP_S)

    def _is_ready(self) -> bool:
        # Neither an egress proxy of the environment nor a mere listener may answer for it.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://{self._admin}/readyz", timeout=2) as answer:
                # It serves as soon as a worker does; the models, which load a moment longer, are reasons until then.
                return not msgspec.json.decode(answer.read())["reasons"]
        except OSError:
            return False

    def _complaint(self) -> str:
        said = (self._directory / "stderr").read_text(errors="replace").strip()
        return said or "it printed nothing"


class Demonstration:
    """The calls, one after the other, each printed as it happens."""

    def __init__(self, openai: Any, gateway: Gateway, prompt: str) -> None:
        self._openai, self._prompt = openai, prompt
        self._base_url = f"http://{gateway.address}/v1"
        self._client = self._connect(gateway.key)
        self.calls: list[Call] = []

    def run(self) -> None:
        """Make every call. Raises Failure, or the SDK's own errors, when an answer is not what it should be."""
        for title, step in self._steps():
            print_line(f"\n{_paint(title, _BOLD)}")
            began = time.monotonic()
            told = step()
            self.calls.append(Call(title, told, time.monotonic() - began))

    def _steps(self) -> Iterator[tuple[str, Callable[[], Told]]]:
        yield "models.list()", self._list_models
        yield "chat.completions.create()", self._chat
        yield "chat.completions.create(stream=True)", self._stream
        yield "embeddings.create()", self._embed
        yield 'OpenAI(api_key="wrong")', self._fail

    def _connect(self, key: str) -> Any:
        # The SDK would send its calls through an egress proxy of the environment.
        http = self._openai.DefaultHttpxClient(trust_env=False)
        return self._openai.OpenAI(base_url=self._base_url, api_key=key, http_client=http, max_retries=0, timeout=120.0)

    def _list_models(self) -> Told:
        raw = self._client.models.with_raw_response.list()
        names = [model.id for model in raw.parse().data]
        print_line(", ".join(names))
        if not {CHAT_MODEL, EMBEDDING_MODEL} <= set(names):
            raise Failure(f"the gateway publishes {names}, not {CHAT_MODEL} and {EMBEDDING_MODEL}")
        return read_headers(raw.headers)

    def _chat(self) -> Told:
        raw = self._client.chat.completions.with_raw_response.create(**self._question())
        text = raw.parse().choices[0].message.content
        print_line(_require(text, "the model's answer"))
        return read_headers(raw.headers)

    def _stream(self) -> Told:
        raw = self._client.chat.completions.with_raw_response.create(**self._question(), stream=True)
        said = ""
        for chunk in raw.parse():
            for choice in chunk.choices:
                piece = choice.delta.content or ""
                said += piece
                sys.stdout.write(piece)
                sys.stdout.flush()
        print_line("")
        _require(said, "the streamed answer")
        return read_headers(raw.headers)

    def _embed(self) -> Told:
        sentences = list(dict.fromkeys(sentence for pair in _SENTENCES for sentence in pair))
        raw = self._client.embeddings.with_raw_response.create(model=EMBEDDING_MODEL, input=sentences)
        answer = raw.parse()
        vectors = {sentence: entry.embedding for sentence, entry in zip(sentences, answer.data, strict=True)}
        likeness = [cosine(vectors[one], vectors[other]) for one, other in _SENTENCES]
        for (one, other), share in zip(_SENTENCES, likeness, strict=True):
            print_line(f"{share:5.2f}  {one}  ~  {other}")
        if likeness[0] <= likeness[1]:
            raise Failure("sentences that mean the same are no more alike than sentences that do not")
        return read_headers(raw.headers)

    def _fail(self) -> Told:
        try:
            self._connect("wrong").chat.completions.create(**self._question())
        except self._openai.AuthenticationError as refused:
            print_line(f"{type(refused).__name__}: {refused.body['message'] if refused.body else refused}")
            return read_headers(refused.response.headers)
        raise Failure("a wrong key was accepted")

    def _question(self) -> dict[str, Any]:
        return {"model": CHAT_MODEL, "messages": [{"role": "user", "content": self._prompt}], "max_tokens": 80}


def demo(
    prompt: Annotated[
        str, typer.Option(metavar="TEXT", help="What to ask the model.")
    ] = "Explain in one sentence what an API gateway does.",
) -> None:
    """Start a gateway with the local model, call it through the `openai` SDK, show where the time went, stop it.

    Needs no key and no network; nothing is left behind.

    Examples:

        gatewright demo
        gatewright demo --prompt "Name three colours."
    """
    openai = _load_sdk()
    _require_models()
    with tempfile.TemporaryDirectory(prefix="gatewright-demo-") as directory:
        print_line("starting `gatewright serve` with what is on this machine")
        with Gateway(Path(directory)) as gateway:
            print_line(f"ready after {gateway.started_s:.1f} s: http://{gateway.address}/v1")
            demonstration = Demonstration(openai, gateway, prompt)
            try:
                demonstration.run()
            except openai.OpenAIError as error:
                raise Failure(f"the call failed: {type(error).__name__}: {error}") from None
            print_line(f"\n{_paint('where the time went, in milliseconds', _BOLD)}")
            entries = _read_log(gateway, demonstration.calls)
            print_table(("CALL", "CLIENT SAW", "GATEWAY'S OWN", "MODEL", "TOKENS IN", "OUT"), time_rows(entries))
    print_line(f"\n{_paint('stopped; `gatewright serve` starts it to stay', _DIM)}")


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """How alike two vectors are: 1.0 the same direction, 0.0 nothing in common."""
    product = math.fsum(a * b for a, b in zip(one, other, strict=True))
    return product / (math.hypot(*one) * math.hypot(*other))


def read_headers(headers: Mapping[str, str]) -> Told:
    """The request id and the gateway's own share of an answer."""
    share = _GATEWAY_SHARE.search(headers.get("server-timing", ""))
    return Told(headers["x-request-id"], float(share.group(1)) if share else None)


def time_rows(calls: Sequence[tuple[Call, dict[str, Any]]]) -> list[list[str]]:
    """A row per call from the client's clock and the gateway's own access log."""
    rows = []
    for call, entry in calls:
        own_ms = entry["gateway_ms"] if call.told.gateway_ms is None else call.told.gateway_ms
        model_ms = entry["total_ms"] - own_ms if entry["attempts"] else None
        rows.append(
            [
                call.title,
                f"{call.seconds * 1e3:.1f}",
                f"{own_ms:.2f}",
                f"{model_ms:.1f}" if model_ms is not None else "-",
                str(entry.get("input_tokens", "-")),
                str(entry.get("output_tokens", "-")),
            ]
        )
    return rows


def _read_log(gateway: Gateway, calls: Sequence[Call]) -> list[tuple[Call, dict[str, Any]]]:
    deadline = time.monotonic() + LOG_S
    while True:
        entries = gateway.log_lines()
        if all(call.told.id in entries for call in calls):
            return [(call, entries[call.told.id]) for call in calls]
        if time.monotonic() > deadline:
            missing = [call.title for call in calls if call.told.id not in entries]
            raise Failure(f"the access log has no line for: {', '.join(missing)}")
        time.sleep(_STEP_S)


def _load_sdk() -> Any:
    try:
        return import_module("openai")
    except ImportError:
        raise Failure("the demonstration calls the gateway with OpenAI's SDK", hint="pip install openai") from None


def _require_models() -> None:
    if not is_runtime_installed():
        raise Failure("llama.cpp is not installed", hint="pip install 'gatewright[local]'")
    missing = {CHAT_MODEL, EMBEDDING_MODEL} - set(installed_models(models_dir()))
    if missing:
        raise Failure(f"not in {models_dir()}: {', '.join(sorted(missing))}", hint="gatewright local pull")


def _require(text: str | None, what: str) -> str:
    if not text or not text.strip():
        raise Failure(f"{what} is empty")
    return text.strip()


def _environment() -> dict[str, str]:
    """Without provider keys: the demonstration calls nobody, and shows the same everywhere."""
    environment = dict(os.environ)  # noqa: TID251 - cli is the room that may read the environment
    for kind in PROVIDERS:
        if kind.environment is not None:
            environment.pop(kind.environment, None)
    return environment


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _paint(text: str, code: str) -> str:
    return f"{code}{text}{_END}" if is_terminal() else text
