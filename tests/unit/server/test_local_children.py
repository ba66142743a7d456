import asyncio
import socket
import threading
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gatewright.config.check import convert
from gatewright.config.documents import Gateway
from gatewright.config.problems import InvalidConfig
from gatewright.config.transport import decode, encode
from gatewright.core.ports import Ports
from gatewright.core.secret import Secret
from gatewright.filters import FILTERS
from gatewright.pipeline.build import build_snapshot
from gatewright.providers import PROVIDERS
from gatewright.providers.local import BUNDLED
from gatewright.server.local_children import (
    LocalChild,
    ReservedPorts,
    bind_local_models,
    installed_models,
    is_answering,
    parse_children,
    plan_local_children,
    render_children,
)
from gatewright.store.memory import MemoryCounters


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Weights, as far as planning looks at them."""
    for model in BUNDLED.values():
        (tmp_path / model.file).touch()
    (tmp_path / "mine.gguf").touch()
    return tmp_path


@pytest.fixture(autouse=True)
def runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatewright.server.local_children.is_runtime_installed", lambda: True)


def document(**members: Any) -> Gateway:
    built, errors = convert({"providers": {"laptop": {"type": "local"}}, **members}, Gateway)
    assert built is not None, errors
    return built


def published(**targets: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: {"targets": found} for name, found in targets.items()}


def plan(document: Gateway, folder: Path) -> tuple[LocalChild, ...]:
    return plan_local_children(document, folder, count(5000).__next__)


def compiled(document: Gateway) -> Any:
    ports = Ports(counters=MemoryCounters(lambda: 0.0), now=lambda: 0.0, random=lambda: 0.0)
    return build_snapshot(document, version=1, providers=PROVIDERS, filters=FILTERS, ports=ports)


def errors_of(refused: pytest.ExceptionInfo[InvalidConfig]) -> dict[str, str]:
    return {error.path: error.message for error in refused.value.errors}


BOTH = published(
    assistant=[{"provider": "laptop", "model": "smollm2"}],
    smollm2=[{"provider": "laptop"}],
    embed=[{"provider": "laptop", "model": "embed"}],
)


def test_each_model_that_a_target_names_is_one_child(folder: Path) -> None:
    children = plan(document(models=BOTH), folder)
    assert [(child.name, child.port) for child in children] == [("laptop/smollm2", 5000), ("laptop/embed", 5001)]
    assert [child.file.kind for child in children] == ["chat", "embedding"]
    assert children[0].file.path == str(folder / BUNDLED["smollm2"].file)


def test_a_fallback_counts_and_what_nobody_names_does_not_run(folder: Path) -> None:
    models = {"a": {"targets": [{"provider": "other"}], "fallback": [{"provider": "laptop", "model": "smollm2"}]}}
    providers = {"laptop": {"type": "local"}, "other": {"type": "openai_compatible", "url": "http://o/v1"}}
    assert [child.model for child in plan(document(providers=providers, models=models), folder)] == ["smollm2"]
    assert plan(document(), folder) == ()


def test_a_file_of_the_operator_runs_as_asked(folder: Path) -> None:
    mine = {"path": str(folder / "mine.gguf"), "kind": "embedding", "context_tokens": 512}
    (child,) = plan(
        document(
            providers={"box": {"type": "local", "models": {"mine": mine}}},
            models=published(vectors=[{"provider": "box", "model": "mine"}]),
        ),
        folder,
    )
    assert child.argv[-10:] == (
        *("--name", "mine", "--model", mine["path"], "--kind", "embedding"),
        *("--context-tokens", "512", "--port", "5000"),
    )
    assert child.service.name == "box/mine"


@pytest.mark.parametrize(("given", "start_s"), [({}, 120.0), ({"start_s": 900}, 900.0)])
def test_a_large_model_may_be_given_longer_to_load(given: dict[str, Any], start_s: float, folder: Path) -> None:
    before = document(
        providers={"laptop": {"type": "local", **given}}, models=published(a=[{"provider": "laptop", "model": "embed"}])
    )
    children = plan(before, folder)
    assert [child.service.start_s for child in children] == [start_s]
    assert parse_children(render_children(children)) == children
    compiled(bind_local_models(before, children))


def test_everything_that_cannot_run_is_told_at_once(folder: Path) -> None:
    (folder / BUNDLED["embed"].file).unlink()
    gone = {"gone": {"path": "/nowhere/gone.gguf"}}
    with pytest.raises(InvalidConfig) as refused:
        plan(
            document(
                providers={"laptop": {"type": "local", "models": gone}},
                models=published(
                    a=[{"provider": "laptop", "model": "smollm"}],
                    b=[{"provider": "laptop", "model": "embed"}],
                    c=[{"provider": "laptop", "model": "gone"}],
                )
                | {"x-*": {"targets": [{"provider": "laptop"}]}},
            ),
            folder,
        )
    messages = [error.message for error in refused.value.errors]
    assert "`smollm`, only smollm2, embed, gone" in errors_of(refused)["models.a.targets[0].model"]
    assert "passes no names through" in errors_of(refused)["models.x-*.targets[0].model"]
    assert any("gatewright local pull" in message for message in messages)
    assert any("/nowhere/gone.gguf" in message for message in messages)


def test_without_the_engine_it_says_how_to_install_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatewright.server.local_children.is_runtime_installed", lambda: False)
    with pytest.raises(InvalidConfig, match=r"gatewright\[local\]"):
        plan(document(models=BOTH), folder)
    assert plan(document(), folder) == ()
    assert installed_models(folder) == ()


def test_the_bundled_models_that_could_run(folder: Path) -> None:
    assert installed_models(folder) == tuple(BUNDLED)
    (folder / BUNDLED["embed"].file).unlink()
    assert installed_models(folder) == ("smollm2",)


def test_a_bound_document_sends_each_target_to_its_process(folder: Path) -> None:
    before = document(models=BOTH)
    bound = bind_local_models(before, plan(before, folder))
    snapshot = compiled(decode(encode(bound)))
    (target,) = snapshot.models.find("assistant").targets
    assert (target.provider, target.model, target.origin.port) == ("laptop/smollm2", "smollm2", 5000)
    (target,) = snapshot.models.find("smollm2").targets
    assert (target.model, target.origin.port) == ("smollm2", 5000)
    (target,) = snapshot.models.find("embed").targets
    assert target.origin.port == 5001
    assert {route.dialect.name for route in target.routes.values()} == {"openai.embeddings"}
    assert before == document(models=BOTH)


def test_settings_of_the_provider_reach_its_processes(folder: Path) -> None:
    provider = {
        "type": "local",
        "max_connections": 3,
        "timeouts": {"first_byte_s": 7},
        "headers": {"x-private": Secret("s")},
    }
    before = document(providers={"laptop": provider}, models=BOTH)
    bound = bind_local_models(before, plan(before, folder))
    (target,) = compiled(bound).models.find("embed").targets
    assert target.origin.max_connections == 3
    assert target.timeouts.first_byte_s == 7
    assert target.timeouts.connect_s > 60, "a request waits for its turn"
    assert b"x-private: s\r\n" in target.upstream.head


def test_what_is_not_local_stays_as_it_is() -> None:
    providers = {"other": {"type": "openai_compatible", "url": "http://o/v1"}}
    before = document(providers=providers, models=published(a=[{"provider": "other"}]))
    assert bind_local_models(before, ()) == before


def test_a_reload_may_not_start_a_model(folder: Path) -> None:
    children = plan(document(models=published(a=[{"provider": "laptop", "model": "smollm2"}])), folder)
    with pytest.raises(InvalidConfig) as refused:
        bind_local_models(document(models=BOTH), children)
    assert list(errors_of(refused)) == ["models.embed.targets[0].model"]
    assert "restart" in errors_of(refused)["models.embed.targets[0].model"]


def test_a_reload_may_not_swap_the_file_of_a_running_model(folder: Path) -> None:
    mine = {"path": str(folder / "mine.gguf")}
    models = published(a=[{"provider": "laptop", "model": "mine"}])
    before = document(providers={"laptop": {"type": "local", "models": {"mine": mine}}}, models=models)
    children = plan(before, folder)
    bind_local_models(before, children)
    other = mine | {"context_tokens": 8192}
    with pytest.raises(InvalidConfig, match="not running as this asks"):
        bind_local_models(
            document(providers={"laptop": {"type": "local", "models": {"mine": other}}}, models=models), children
        )


def test_children_travel_as_text(folder: Path) -> None:
    children = plan(document(models=BOTH), folder)
    assert parse_children(render_children(children)) == children
    assert parse_children(render_children(())) == ()
    with pytest.raises(msgspec.DecodeError):
        parse_children("{}")


def test_a_reserved_port_is_for_processes_of_this_user_alone() -> None:
    ports = ReservedPorts()
    one, other = ports(), ports()
    assert one != other
    with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
        stranger.bind(("127.0.0.1", one))
    with socket.socket() as child:
        child.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        child.bind(("127.0.0.1", one))
    ports.close()
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", other))


@pytest.mark.parametrize(("status", "ready"), [(b"200 OK", True), (b"503 Service Unavailable", False)])
def test_a_child_is_ready_when_its_model_is_loaded(status: bytes, ready: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 " + status + b"\r\n\r\n")

        answering = threading.Thread(target=answer)
        answering.start()
        assert asyncio.run(is_answering(server.getsockname()[1])) is ready
        answering.join(5)


def test_nobody_there_is_an_error_the_supervisor_expects() -> None:
    ports = ReservedPorts()
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        asyncio.run(is_answering(ports()))
    ports.close()
