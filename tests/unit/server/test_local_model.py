import os
import threading
from pathlib import Path

import pytest

from gatewright.server.local_model import SLOTS, build_parameters, default_threads, parse_options, wait_for_end

ARGUMENTS = ["--name", "mine", "--model", "/m.gguf", "--port", "4321", "--context-tokens", "1024"]


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (4, 2), (8, 4), (128, 8)])
def test_half_of_the_cores_compute(cores: int, threads: int) -> None:
    assert default_threads(cores) == threads


def test_the_process_serves_this_machine_alone_and_tells_no_path() -> None:
    parameters = build_parameters(parse_options(ARGUMENTS))
    assert parameters.hostnames == ["127.0.0.1"]
    assert parameters.port == 4321
    assert parameters.model_alias == {"mine"}
    assert not parameters.ui
    assert not parameters.endpoint_slots
    assert parameters.cors_origins == ""


def test_every_slot_has_the_whole_context() -> None:
    parameters = build_parameters(parse_options(ARGUMENTS))
    assert parameters.n_ctx == 1024 * SLOTS
    assert parameters.n_parallel == SLOTS
    assert not parameters.embedding


def test_an_embedding_model_takes_an_input_in_one_piece() -> None:
    parameters = build_parameters(parse_options([*ARGUMENTS, "--kind", "embedding"]))
    assert parameters.embedding
    assert parameters.n_ubatch >= parameters.n_ctx


def test_it_waits_until_the_channel_is_closed() -> None:
    ours, theirs = os.pipe()
    waiting = threading.Thread(target=wait_for_end, args=(ours,))
    waiting.start()
    os.write(theirs, b"whatever")
    os.close(theirs)
    waiting.join(5)
    os.close(ours)
    assert not waiting.is_alive()


def test_a_missing_option_ends_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        parse_options(["--name", "mine", "--model", str(tmp_path)])
    assert "--port" in capsys.readouterr().err
