"""`gatewright usage reconcile`: what it prints, and its exit code."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from sqlalchemy import insert

from gatewright.cli.main import run
from gatewright.store.database import migrate, open_database
from gatewright.store.tables import TOKEN_COLUMNS, USAGE_DAYS

GOLDEN = Path(__file__).parents[2] / "golden/provider_usage"
NOVEMBER = 1_793_491_200


@pytest.fixture
def state(tmp_path: Path) -> Path:
    engine = open_database(None, tmp_path)
    migrate(engine)
    zeros = dict.fromkeys((*TOKEN_COLUMNS, "exchanges", "failed", "attempts", "unpriced", "cost_rest_femto"), 0)
    common = zeros | {"day": NOVEMBER, "consumer": "acme/a/x", "model": "m", "provider_type": "t", "provider": "openai"}
    rows = [
        common
        | {"upstream_model": "gpt-a", "input_total": 995, "output_total": 500, "estimated": 2, "cost_nano": 10**8},
        common | {"upstream_model": "embed-a", "input_total": 70, "estimated": 0, "cost_nano": 0},
        common
        | {"provider": "claude", "upstream_model": "sonnet-b", "input_total": 3200, "output_total": 400}
        | {"estimated": 0, "cost_nano": 1_237_891_200},
    ]
    with engine.begin() as connection:
        connection.execute(insert(USAGE_DAYS), rows)
    engine.dispose()
    return tmp_path


def reconcile(state: Path, *arguments: str) -> int:
    return run(["usage", "reconcile", *arguments, "--state", str(state)])


def test_what_agrees_ends_well(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(GOLDEN / name) for name in ("openai-usage.json", "openai-costs.json")]
    assert reconcile(state, *files, "--provider", "openai") == 0
    told = capsys.readouterr()
    assert [line.split("\t") for line in told.out.splitlines()] == [
        ["DAY", "MODEL", "WHAT", "OURS", "THEIRS", "DIFFERENCE", "PERCENT", ""],
        ["total", "", "input tokens", "1065", "1070", "-5", "-0.47%", ""],
        ["total", "", "output tokens", "500", "500", "+0", "+0.00%", ""],
        ["total", "", "cost USD", "0.1000", "0.1000", "-0.0000", "-0.00%", ""],
    ]
    assert "All 6 numbers of openai agree, 2026-11-01 to 2026-11-02." in told.err
    assert "~ 2 attempts were counted by the gateway itself" in told.err
    assert "cost USD: 1 of the 2 days are compared" in told.err
    assert "A page says that there is another" in told.err


def test_what_differs_is_listed_and_ends_with_1(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(GOLDEN / "anthropic-usage.json")
    assert reconcile(state, file, "--provider", "claude") == 1
    told = capsys.readouterr()
    assert told.out.splitlines()[1].split("\t") == [
        *("2026-11-01", "sonnet-b", "output tokens", "400", "500", "-100", "-20.00%", "differs")
    ]
    assert "1 of 2 numbers of claude differ" in told.err
    assert reconcile(state, file, "--provider", "claude", "--tolerance", "20") == 0


def test_a_total_that_differs_ends_with_1(state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bill.csv"
    file.write_text("day,model,cost_usd\n2026-11-01,gpt-a,0.11\n2026-11-01,embed-a,0.01\n")
    assert reconcile(state, str(file), "--provider", "openai") == 1
    told = capsys.readouterr()
    assert told.out.splitlines()[1:] == ["total\t\tcost USD\t0.1000\t0.1200\t-0.0200\t-16.67%\tdiffers"]
    assert "Each of the 2 numbers of openai is within the tolerance, their total is not" in told.err
    assert reconcile(state, str(file), "--provider", "openai", "--json") == 1
    assert msgspec.json.decode(capsys.readouterr().out)["agrees"] is False


def test_as_json(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(GOLDEN / "anthropic-costs.json"), "--provider", "claude", "--json", "--tolerance-usd", "0"]
    assert reconcile(state, *arguments) == 1
    found = msgspec.json.decode(capsys.readouterr().out)
    assert found["agrees"] is False
    keys = ("scope", "model", "ours", "theirs", "is_beyond")
    assert [tuple(each[key] for key in keys) for each in [*found["differences"], *found["totals"]]] == [
        ("no_model", None, "0", "0.1", False),
        ("model", "sonnet-b", "1.2378912", "1.2378912", False),
        ("every_model", None, "1.2378912", "1.3378912", True),
    ]


def test_what_is_under_no_model_is_said(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reconcile(state, str(GOLDEN / "anthropic-costs.json"), "--provider", "claude", "--tolerance", "10") == 0
    told = capsys.readouterr()
    assert told.out.splitlines()[1:] == ["total\t\tcost USD\t1.2379\t1.3379\t-0.1000\t-7.47%\t"]
    assert "0.1000 USD of theirs are under no model" in told.err
    assert "The one number of claude agrees" in told.err


def test_days_without_anything_agree(state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "usage.json"
    file.write_text('{"data":[{"start_time":1793750400,"end_time":1793836800,"results":[]}]}')
    assert reconcile(state, str(file), "--provider", "openai") == 0
    assert "Neither the ledger nor the files have anything of openai" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "hint"), [("opnai", "did you mean `openai`?"), ("zebra", "it has `claude`, `openai`"), ("open*", "openai")]
)
def test_a_provider_that_was_never_used_is_named(
    state: Path, capsys: pytest.CaptureFixture[str], name: str, hint: str
) -> None:
    assert reconcile(state, str(GOLDEN / "openai-usage.json"), "--provider", name) == 2
    told = capsys.readouterr().err
    assert f"the ledger has nothing of a provider `{name}`" in told
    assert hint in told


def test_a_csv_file_with_its_own_names(state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bill.csv"
    file.write_text("Date,Cost\n2026-11-01,$0.10\n")
    assert reconcile(state, str(file), "--provider", "openai", "--columns", "day=Date,cost_usd=Cost", "--all") == 0
    assert "(all models)\tcost USD\t0.1000\t0.1000" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.json"], "cannot read missing.json"),
        ([__file__], "lacks a column day"),
        ([__file__, "--format", "openai"], "no export of this format"),
        ([__file__, "--columns", "date=Day"], "--columns takes NAME=COLUMN"),
        ([__file__, "--columns", "day"], "--columns takes NAME=COLUMN"),
        ([__file__, "--tolerance", "-1"], "--tolerance takes a number from 0 on"),
        ([__file__, "--tolerance-usd", "NaN"], "--tolerance-usd takes a number from 0 on"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    state: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert reconcile(state, *arguments, "--provider", "openai") == 2
    assert message in capsys.readouterr().err
