"""`gatewright usage`: its table, JSON, CSV and FOCUS, and what it says about its numbers."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import insert

from gatewright.cli import output, usage
from gatewright.cli.main import run
from gatewright.store.database import migrate, open_database
from gatewright.store.tables import TOKEN_COLUMNS, USAGE_DAYS, USAGE_HOURS

NOVEMBER = 1_793_491_200
RANGE = ["--since", "2026-11-01", "--until", "2026-12-01"]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    engine = open_database(None, tmp_path)
    migrate(engine)
    zeros = dict.fromkeys((*TOKEN_COLUMNS, "failed", "estimated", "unpriced", "cost_nano", "cost_rest_femto"), 0)
    common = zeros | {"provider_type": "openai", "exchanges": 1_000, "attempts": 1_010}
    rows = [
        common
        | {"consumer": "acme/a/x", "model": "small", "provider": "openai", "upstream_model": "gpt-a"}
        | {"input_total": 1_234_567, "output_total": 89, "cost_nano": 1_500_000_000, "cost_rest_femto": 1},
        common
        | {"consumer": "b/c/d", "model": "large", "provider": "claude", "upstream_model": "son-b"}
        | {"input_total": 5, "estimated": 3, "unpriced": 2, "cost_nano": 10_000},
        common
        | {"consumer": "b/c/d", "model": "large", "provider": "", "upstream_model": "", "failed": 1_000, "attempts": 0},
    ]
    with engine.begin() as connection:
        connection.execute(insert(USAGE_DAYS), [{"day": NOVEMBER, **row} for row in rows])
        connection.execute(insert(USAGE_HOURS), [{"hour": NOVEMBER + 3_600, **row} for row in rows])
    engine.dispose()
    return tmp_path


def test_a_table_ends_with_the_total_and_says_what_it_leaves_out(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["usage", "--by", "consumer,provider", *RANGE, "--state", str(state)]) == 0
    told = capsys.readouterr()
    assert [line.split("\t") for line in told.out.splitlines()] == [
        ["CONSUMER", "PROVIDER", "EXCHANGES", "FAILED", "INPUT", "CACHED", "OUTPUT", "COST USD"],
        ["acme/a/x", "openai", "1000", "0", "1234567", "0", "89", "1.500000000000001"],
        ["b/c/d", "claude", "1000", "0", "~5", "0", "~0", "≥0.00001"],
        ["b/c/d", "(none)", "1000", "1000", "0", "0", "0", "0"],
        ["total", "", "3000", "1000", "~1234572", "0", "~89", "≥1.500010000000001"],
    ]
    assert told.err.splitlines() == [
        "~ The tokens of 3 of 2,020 attempts are the gateway's own count: the provider told none.",
        "≥ The cost of 2 attempts is not known and not in the sums: see the catalogue.",
    ]


def test_people_read_grouped_digits_and_rounded_money(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "is_terminal", lambda: True)
    assert usage.money("1.500000000000001") == "1.5000"
    assert usage.money("1234567.5") == "1,234,567.5000"
    assert usage.money("0.00001") == "<0.0001"
    assert usage.money("0") == "0.0000"


def test_json_has_every_number(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["usage", "--by", "model,day", "--json", *RANGE, "--state", str(state)]) == 0
    report = msgspec.json.decode(capsys.readouterr().out)
    assert report["rows"][0] == {
        "of": {"model": "large", "day": "2026-11-01"},
        "exchanges": 2000,
        "failed": 1000,
        "attempts": 1010,
        "estimated": 3,
        "unpriced": 2,
        "tokens": {"input_total": 5},
        "cost_usd": "0.00001",
    }
    assert report["total"]["cost_usd"] == "1.500010000000001"
    assert (report["since"], report["until"]) == ("2026-11-01T00:00Z", "2026-12-01T00:00Z")


def test_csv_has_every_number_and_no_total(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["usage", "--by", "hour", "--format", "csv", *RANGE, "--state", str(state)]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["hour"] for row in rows] == ["2026-11-01T01:00Z"]
    assert (rows[0]["exchanges"], rows[0]["output_total"], rows[0]["cost_usd"]) == ("3000", "89", "1.500010000000001")
    assert set(TOKEN_COLUMNS) <= set(rows[0])


def test_focus_is_csv_of_its_own(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["usage", "--format", "focus", *RANGE, "--consumer", "acme/*", "--state", str(state)]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["SubAccountId"], row["BilledCost"]) for row in rows] == [("acme/a/x", "1.500000000000001")]


def test_everything_in_one_row(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["usage", "--by", "", *RANGE, "--state", str(state)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split("\t") == ["3000", "1000", "~1234572", "0", "~89", "≥1.500010000000001"]
    assert len(lines) == 2


def test_a_limit_and_nothing_are_said(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["usage", "--limit", "1", *RANGE, "--state", str(state)]) == 0
    assert "more rows than the limit" in capsys.readouterr().err
    assert run(["usage", "--since", "2030-01-01", "--state", str(state)]) == 0
    assert "Nothing was used" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--by", "modle"], "did you mean `model`?"),
        (["--since", "soon"], "`soon` is no time"),
        (["--until", "12"], "`12` is no time"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    state: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert run(["usage", *arguments, "--state", str(state)]) == 2
    assert message in capsys.readouterr().err


def test_reading_changes_nothing(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (state / "gatewright.db").read_bytes()
    assert run(["usage", "--state", str(state)]) == 0
    assert (state / "gatewright.db").read_bytes() == before
    assert not output.is_terminal()
