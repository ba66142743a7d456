"""Exports of providers, as their documentation shows them, and what is none."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from gatewright.control.provider_usage import READERS, Stated, UnreadableExport, guess_format, read_csv

GOLDEN = Path(__file__).parents[2] / "golden/provider_usage"
FIRST, SECOND = date(2026, 11, 1), date(2026, 11, 2)


def test_openai_counts_cached_input_as_input_and_covers_days_without_usage() -> None:
    data = (GOLDEN / "openai-usage.json").read_bytes()
    assert guess_format(data) == "openai"
    found = READERS["openai"](data, {})
    assert found.lines == [Stated(FIRST, "gpt-a-2026-04-14", 1000, 500), Stated(FIRST, "embed-a", 70, 0)]
    assert (found.first_day, found.last_day, found.is_cut) == (FIRST, SECOND, False)


def test_openai_costs_are_exact_and_by_line_item() -> None:
    found = READERS["openai"]((GOLDEN / "openai-costs.json").read_bytes(), {})
    assert [line.model for line in found.lines] == ["gpt-a-2026-04-14"] * 2
    assert [line.cost_usd for line in found.lines] == [Decimal("0.06"), Decimal("0.0400000000000001")]
    assert found.is_cut
    assert found.lines[0].input_tokens is None


def test_anthropic_input_is_all_that_was_taken_in() -> None:
    data = (GOLDEN / "anthropic-usage.json").read_bytes()
    assert guess_format(data) == "anthropic"
    found = READERS["anthropic"](data, {})
    assert found.lines == [Stated(FIRST, "sonnet-b-20260101", 1500 + 1000 + 500 + 200, 500)]
    assert (found.first_day, found.last_day) == (FIRST, FIRST)


def test_anthropic_amounts_are_cents() -> None:
    found = READERS["anthropic"]((GOLDEN / "anthropic-costs.json").read_bytes(), {})
    assert [(line.model, line.cost_usd) for line in found.lines] == [
        ("sonnet-b-20260101", Decimal("1.2378912")),
        (None, Decimal("0.1")),
    ]


def test_several_pages_may_be_lines_or_a_list() -> None:
    page = b'{"data":[{"start_time":1793491200,"end_time":1793494800,"results":[{"model":"m","input_tokens":1}]}]}'
    for data in (page + b"\n" + page, b"[" + page + b"," + page + b"]"):
        found = READERS["openai"](data, {})
        assert [line.input_tokens for line in found.lines] == [1, 1]
        assert found.last_day == FIRST


def test_a_csv_file_has_its_own_names_and_ways_to_write() -> None:
    data = (
        '\ufeffDate,Model,In,"Out, all",Cost,Region\r\n'
        '2026-11-01,m,"1,200",5.0,"$1,234.50",eu\r\n'
        "2026-11-02T23:30:00-05:00,m,,,0.5 USD,eu\r\n"
        "1793491200,n,1,2,0,eu\r\n"
        ",total,,,9,\r\n"
    ).encode()
    assert guess_format(data) == "csv"
    columns = {"day": "Date", "model": "Model", "input_tokens": "In", "output_tokens": "Out, all", "cost_usd": "Cost"}
    found = read_csv(data, columns)
    assert found.lines == [
        Stated(FIRST, "m", 1200, 5, Decimal("1234.50")),
        Stated(date(2026, 11, 3), "m", None, None, Decimal("0.5")),
        Stated(FIRST, "n", 1, 2, Decimal(0)),
    ]
    assert (found.first_day, found.last_day) == (FIRST, date(2026, 11, 3))


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("openai", b"{}", "no export of this format"),
        ("openai", b'{"data":[]}', "no day in it"),
        ("openai", b'{"data":[{"start_time":9e30,"end_time":1,"results":[]}]}', "no export of this format"),
        ("openai", b'{"data":[{"start_time":99999999999999,"end_time":1,"results":[]}]}', "is no time"),
        ("openai", b"[1]", "no export of this format"),
        ("openai", b'{"data":', "no export of this format"),
        ("anthropic", (GOLDEN / "openai-usage.json").read_bytes(), "no export of this format"),
        ("csv", b"", "lacks a column day"),
        ("csv", b"day,model\n2026-11-01,m\n", "lacks a column with tokens or cost"),
        ("csv", b"model,cost_usd\nm,1\n", "lacks a column day"),
        ("csv", b"day,cost_usd\n", "no day in it"),
        ("csv", b"day,cost_usd\nyesterday,1\n", "line 2: day is 'yesterday'"),
        ("csv", b"day,input_tokens\n2026-11-01,1.5\n", "line 2: input_tokens is '1.5'"),
        ("csv", b"day,cost_usd\n2026-11-01,much\n", "line 2: cost_usd is 'much'"),
        ("csv", b"day,cost_usd\n2026-11-01,NaN\n", "line 2: cost_usd is 'NaN'"),
        ("csv", b"day,input_tokens\n2026-11-01,Infinity\n", "line 2: input_tokens is 'Infinity'"),
        ("csv", b"\xff\xfe", "no CSV file"),
    ],
)
def test_what_is_no_export_says_why(name: str, data: bytes, message: str) -> None:
    with pytest.raises(UnreadableExport, match=message):
        READERS[name](data, {})


def test_a_named_column_must_be_there() -> None:
    with pytest.raises(UnreadableExport, match="lacks a column Price; it has day, cost_usd"):
        read_csv(b"day,cost_usd\n2026-11-01,1\n", {"cost_usd": "Price"})


def test_another_currency_is_refused() -> None:
    data = (GOLDEN / "openai-costs.json").read_bytes().replace(b'"usd"', b'"eur"')
    with pytest.raises(UnreadableExport, match="in eur"):
        READERS["openai"](data, {})
