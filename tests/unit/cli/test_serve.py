import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from gatewright.cli.defaults import KEY_FILE
from gatewright.cli.key import hash_key
from gatewright.cli.loading import check_loaded, read_files
from gatewright.cli.main import run
from gatewright.cli.serve import render_screen
from gatewright.cli.state import StateLock, default_state_dir
from gatewright.config.transport import decode
from gatewright.control.managed_sources import budgets_file, configuration_file, write_file
from gatewright.server.supervisor import Plan
from gatewright.telemetry.log import Log

CONFIG = """\
listen: 127.0.0.1:7001
admin: 127.0.0.1:7002
timeouts: {drain_s: 7}
providers:
  vllm: {type: openai_compatible, url: "http://vllm.svc:8000/v1"}
models:
  assistant:
    targets: [{provider: vllm, model: llama}]
    fallback: [{provider: vllm, model: tiny}]
  "gpt-*": {targets: [{provider: vllm}]}
"""


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """What would have been supervised; each ends at once with exit code 0, after saying that it serves."""
    seen: list[Plan] = []

    class Supervisor:
        def __init__(self, plan: Plan, log: Log, on_ready: Callable[[str, str], None]) -> None:
            self._plan, self._on_ready = plan, on_ready

        async def run(self) -> int:
            seen.append(self._plan)
            self._on_ready(self._plan.listen, self._plan.admin)
            return 0

    monkeypatch.setattr("gatewright.cli.serve.Supervisor", Supervisor)
    return seen


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GATEWRIGHT_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("GATEWRIGHT_MODELS", str(tmp_path / "models"))
    file = tmp_path / "gatewright.yaml"
    file.write_text(CONFIG)
    return file


def test_commands_are_told_that_the_database_is_elsewhere(
    config: Path, plans: list[Plan], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@db.invalid/x")
    plain = config.read_text()
    config.write_text(plain + 'database: {url: "${env:DATABASE_URL}"}\n')
    assert run(["serve", "-c", str(config)]) == 0
    state = ["--state", str(default_state_dir("127.0.0.1:7001"))]
    for command in (["keys", "create", "acme/search/indexer"], ["usage"], ["database", "status"]):
        assert run([*command, *state]) == 2
        told = capsys.readouterr().err
        assert "keeps its database elsewhere" in told
        assert "-c" in told
    config.write_text(plain)
    assert run(["serve", "-c", str(config)]) == 0
    assert run(["keys", "create", "acme/search/indexer", *state]) == 0


def test_a_file_is_served_as_written(config: Path, plans: list[Plan], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "-c", str(config), "--workers", "3"]) == 0
    (plan,) = plans
    assert (plan.listen, plan.admin, plan.workers, plan.drain_s) == ("127.0.0.1:7001", "127.0.0.1:7002", 3, 7.0)
    assert list(decode(plan.document).models) == ["assistant", "gpt-*"]
    assert plan.control_command[-2:] == ("--config", str(config))
    assert plan.worker_command[-3:-1] == ("gatewright.server.worker", "--state")
    assert capsys.readouterr().err == "", "in a pipe the log alone speaks"


def test_the_command_line_overrides_the_file_now_and_at_every_reload(config: Path, plans: list[Plan]) -> None:
    assert run(["serve", "-c", str(config), "--listen", "127.0.0.1:7003"]) == 0
    assert plans[0].listen == "127.0.0.1:7003"
    assert plans[0].control_command[-2:] == ("--override", "listen=127.0.0.1:7003")


def test_a_wrong_file_is_refused_before_anything_starts(
    config: Path, plans: list[Plan], capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text("modles: {}\n")
    assert run(["serve", "-c", str(config)]) == 2
    assert plans == []
    assert "did you mean `models`?" in capsys.readouterr().err


def test_two_gateways_do_not_share_a_state_directory(
    config: Path, tmp_path: Path, plans: list[Plan], capsys: pytest.CaptureFixture[str]
) -> None:
    with StateLock(tmp_path / "mine"):
        assert run(["serve", "-c", str(config), "--state", str(tmp_path / "mine")]) == 1
    assert plans == []
    assert "another gateway" in capsys.readouterr().err


BUDGET = "policies: [{filter: budget, name: filed, config: {usd: 1}}]\n"


def keep_budgets(state: Path, *names: str) -> None:
    policies = [{"filter": "budget", "name": name, "config": {"usd": 1}} for name in names]
    write_file(budgets_file(state), msgspec.json.encode({"policies": policies}))


def test_a_managed_budget_that_does_not_fit_is_left_out_and_told(
    config: Path, tmp_path: Path, plans: list[Plan], capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(CONFIG + BUDGET)
    keep_budgets(tmp_path / "mine", "good", "filed")
    assert run(["serve", "-c", str(config), "--state", str(tmp_path / "mine")]) == 0
    assert sorted(str(policy.name) for policy in decode(plans[0].document).policies) == ["filed", "good"]
    assert plans[0].control_command[-1] == "--unserved-budget=filed"
    (line,) = capsys.readouterr().err.splitlines()
    told = msgspec.json.decode(line)
    assert (told["level"], told["budget"]) == ("error", "filed")
    assert "is the name of" in told["reason"]


def test_budgets_are_no_excuse_for_a_wrong_file(
    config: Path, tmp_path: Path, plans: list[Plan], capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(CONFIG + BUDGET + "cors: 3\n")
    keep_budgets(tmp_path / "mine", "filed")
    assert run(["serve", "-c", str(config), "--state", str(tmp_path / "mine")]) == 2
    assert plans == []
    assert "cors" in capsys.readouterr().err


def test_an_applied_version_starts_without_a_budget_that_does_not_fit(
    config: Path, tmp_path: Path, plans: list[Plan]
) -> None:
    state = tmp_path / "mine"
    write_file(configuration_file(state), (CONFIG + BUDGET).encode())
    keep_budgets(state, "filed")
    assert run(["serve", "--state", str(state)]) == 0
    assert [policy.name for policy in decode(plans[0].document).policies] == ["filed"]
    assert plans[0].control_command[-1] == "--unserved-budget=filed"


def test_without_a_file_what_is_found_is_served(
    config: Path, plans: list[Plan], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-found")
    assert run(["serve"]) == 0
    (plan,) = plans
    document = decode(plan.document)
    assert list(document.providers) == ["openai"]
    assert document.consumers
    assert "--config" not in plan.control_command
    printed = capsys.readouterr().err
    assert "gw-dev-" in printed
    assert "sk-found" not in printed


def shown_key(printed: str) -> str | None:
    found = re.search(r"gw-dev-[\w-]+", printed)
    return found and found.group()


def test_the_development_key_is_kept_once_it_was_shown(
    config: Path, plans: list[Plan], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-found")
    state = default_state_dir("127.0.0.1:8080")

    def ends_early(plan: Plan, log: Log, on_ready: object) -> None:
        raise OSError("no more processes")

    with monkeypatch.context() as patched:
        patched.setattr("gatewright.cli.serve.Supervisor", ends_early)
        assert run(["serve"]) == 1
    assert shown_key(capsys.readouterr().err) is None
    assert not (state / KEY_FILE).exists()
    assert run(["serve"]) == 0
    key = shown_key(capsys.readouterr().err)
    assert key is not None
    assert hash_key(key) in (state / KEY_FILE).read_text()
    assert run(["serve"]) == 0
    assert shown_key(capsys.readouterr().err) is None, "the second start only tells how it ends"
    assert hash_key(key).encode() in plans[-1].document


def broken_pipe(text: str) -> None:
    raise BrokenPipeError


def test_a_key_that_cannot_be_shown_is_not_kept(
    config: Path, plans: list[Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-found")
    monkeypatch.setattr("gatewright.cli.serve.print_note", broken_pipe)
    assert run(["serve"]) == 0
    assert not (default_state_dir("127.0.0.1:8080") / KEY_FILE).exists()


def test_a_key_that_cannot_be_kept_is_told(
    config: Path, plans: list[Plan], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-found")
    (default_state_dir("127.0.0.1:8080") / KEY_FILE).with_suffix(".new").mkdir(parents=True)
    assert run(["serve"]) == 0
    printed = capsys.readouterr().err
    assert shown_key(printed) is not None
    assert "the next start makes another" in printed


def test_without_a_file_and_without_anything_to_serve(
    config: Path, plans: list[Plan], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["serve"]) == 2
    assert plans == []
    assert "nothing to serve" in capsys.readouterr().err


def test_on_a_terminal_the_screen_says_what_is_published(
    config: Path, plans: list[Plan], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("gatewright.cli.serve.is_terminal", lambda: True)
    assert run(["serve", "-c", str(config)]) == 0
    assert "serves http://127.0.0.1:7001/v1" in capsys.readouterr().err
    assert render_screen(check_loaded(read_files(config, {})), "127.0.0.1:7001", "x").splitlines()[2:5] == [
        "  assistant      100%  vllm: llama",
        "             fallback  vllm: tiny",
        "  gpt-*          100%  vllm: (as called)",
    ]
