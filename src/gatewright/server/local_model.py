"""One local model as a process: `python -m gatewright.server.local_model`, started by the supervisor only.

llama.cpp's own server (in the `xllamacpp` wheel) answers on a loopback port in OpenAI's API; this module chooses its
settings and ties its life to the supervisor's: it ends when the channel it was given (standard input) ends. Requests
beyond the parallel slots wait in llama.cpp's queue. A stream whose client left is stopped at the next token, a complete
answer at the next quiet second.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from typing import Any, Final

import xllamacpp

SLOTS: Final = 2
"""Requests served at the same time; a third waits. Two keep a stream going beside a second caller at 1.05 × the
throughput of one; four cost 130 MB more for the bundled model and gain nothing on two cores."""
MAX_THREADS: Final = 8
"""More than this many threads wait for each other more than they compute, at the sizes a laptop runs."""
_LARGEST_INPUT_TOKENS: Final = 65_536
"""Up to here an input that is too long is the caller's error (400); beyond it llama.cpp calls it its own (500)."""
_QUIET: Final = 1
"""llama.cpp's log level: errors alone."""


def default_threads(cores: int) -> int:
    """Half of the cores: llama.cpp's threads march in step, so one that loses its core to a worker stops them all.

    Measured on two busy cores: one thread keeps 18 to 57 tokens/s, two swing between 6 and 109.
    """
    return max(1, min(cores // 2, MAX_THREADS))


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(prog="gatewright.server.local_model", description="Started by the supervisor.")
    parser.add_argument("--name", required=True, help="what the model calls itself in its answers")
    parser.add_argument("--model", required=True, help="path of the GGUF file")
    parser.add_argument("--kind", choices=("chat", "embedding"), default="chat")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--context-tokens", type=int, default=4096)
    parser.add_argument("--threads", type=int, default=default_threads(os.cpu_count() or 1))
    parser.add_argument("--channel-fd", type=int, default=0)
    return parser.parse_args(arguments)


def build_parameters(options: argparse.Namespace) -> Any:
    """llama.cpp's settings: loopback alone, nothing served but models, no prompt or path in any answer."""
    parameters = xllamacpp.CommonParams()
    parameters.model.path = options.model
    parameters.model_alias = {options.name}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = options.port
    # The supervisor holds the port for the gateway's whole life, so nobody else takes it while this process restarts.
    parameters.reuse_port = True
    parameters.ui = False
    parameters.cors_origins = ""
    parameters.endpoint_slots = False
    parameters.verbosity = _QUIET
    parameters.warmup = False
    parameters.n_parallel = SLOTS
    parameters.n_ctx = options.context_tokens * SLOTS
    # llama.cpp would keep up to 8 GiB of old prompts in memory.
    parameters.cache_ram_mib = 0
    for threads in (parameters.cpuparams, parameters.cpuparams_batch):
        threads.n_threads = options.threads
        # Waiting threads sleep: the workers need the core more than the next token needs the microseconds.
        threads.poll = 0
    if options.kind == "embedding":
        parameters.embedding = True
        parameters.n_batch = parameters.n_ubatch = _LARGEST_INPUT_TOKENS
    return parameters


def wait_for_end(channel_fd: int) -> None:
    """Block until the other end of the channel is closed; what is said on it is of no interest here."""
    while os.read(channel_fd, 65_536):
        pass


def main() -> None:
    """Serve until the supervisor is gone."""
    # Ctrl-C reaches the whole process group; the supervisor decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    options = parse_options()
    try:
        server = xllamacpp.Server(build_parameters(options))  # noqa: F841 - it serves for as long as it is referred to
    except RuntimeError as error:
        sys.exit(f"local model {options.name}: {options.model} cannot be served: {error}")
    wait_for_end(options.channel_fd)
    # Not by way of the server's own end: that waits for ever when it comes right after the start (in one of ten tries),
    # and a generation that runs has nobody left to answer to.
    os._exit(0)


if __name__ == "__main__":
    main()
