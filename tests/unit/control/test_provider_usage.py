"""Exports of providers, as their documentation shows them, and what is none."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from gatewright.control.provider_usage import READERS, Stated, UnreadableExport, guess_format, read_csv

GOLDEN = Path(__file__).parents[2] / "golden/provider_usage"
FIRST, SECOND = date(2026, 11, 1), date(2026, 11, 2)
NOVEMBER = 1_793_491_200


def test_openai_counts_cached_input_as_input_and_covers_days_without_usage() -> None:
    data = (GOLDEN / "openai-usage.json").read_bytes()
    assert guess_format(data) == "openai"
    (found,) = READERS["openai"](data, {})
    assert found.lines == [Stated(FIRST, "gpt-a-2026-04-14", 1000, 500), Stated(FIRST, "embed-a", 70, 0)]
    assert (found.days, found.is_cut) == ([FIRST, SECOND], False)


def test_openai_costs_are_exact_and_by_line_item() -> None:
    (found,) = READERS["openai"]((GOLDEN / "openai-costs.json").read_bytes(), {})
    assert [line.model for line in found.lines] == ["gpt-a-2026-04-14"] * 2
    assert [line.cost_usd for line in found.lines] == [Decimal("0.06"), Decimal("0.0400000000000001")]
    assert found.is_cut
    assert found.lines[0].input_tokens is None


def test_anthropic_input_is_all_that_was_taken_in() -> None:
    data = (GOLDEN / "anthropic-usage.json").read_bytes()
    assert guess_format(data) == "anthropic"
    (found,) = READERS["anthropic"](data, {})
    assert found.lines == [Stated(FIRST, "sonnet-b-20260101", 1500 + 1000 + 500 + 200, 500)]
    assert found.days == [FIRST]


def test_anthropic_amounts_are_cents() -> None:
    (found,) = READERS["anthropic"]((GOLDEN / "anthropic-costs.json").read_bytes(), {})
    assert [(line.model, line.cost_usd) for line in found.lines] == [
        ("sonnet-b-20260101", Decimal("1.2378912")),
        (None, Decimal("0.1")),
    ]


def page(second: int, *, has_more: bool = False, result: bytes = b'{"model":"m","input_tokens":1}') -> bytes:
    bucket = b'{"start_time":%d,"end_time":%d,"results":[%b]}' % (second, second + 3600, result)
    return b'{"data":[%b],"has_more":%b}' % (bucket, b"true" if has_more else b"false")


def test_several_pages_may_be_lines_or_a_list_and_are_statements_of_their_own() -> None:
    pages = [page(NOVEMBER, has_more=True), page(NOVEMBER + 86_400, result=b'{"amount":{"value":1},"line_item":"m"}')]
    for data in (b"\n".join(pages), b"[" + b",".join(pages) + b"]"):
        tokens, costs = READERS["openai"](data, {})
        assert (tokens.days, tokens.is_cut) == ([FIRST], True)
        assert (costs.days, costs.is_cut) == ([SECOND], False)
        assert tokens.quantities == {"input_tokens", "output_tokens"}
        assert costs.quantities == {"cost_usd"}


def test_a_page_without_days_ends_the_one_before_it() -> None:
    (found,) = READERS["openai"](page(NOVEMBER, has_more=True) + b'\n{"data":[],"has_more":false}', {})
    assert not found.is_cut


def test_a_page_without_lines_is_about_nothing() -> None:
    (found,) = READERS["openai"](page(NOVEMBER, result=b""), {})
    assert (found.lines, found.quantities) == ([], frozenset())


def test_a_csv_file_has_its_own_names_and_ways_to_write() -> None:
    data = (
        '\ufeffDate,Model,In,"Out, all",Cost,Region\r\n'
        '2026-11-01,m,"1,200",5.0,"$1,234.50",eu\r\n'
        "2026-11-02T23:30:00-05:00,m,,,0.5 USD,eu\r\n"
        "1793491200,n,1,2,0,eu\r\n"
        '20261102,n,"1,234,567.0",,"-1,000",eu\r\n'
        ",total,,,9,\r\n"
    ).encode()
    assert guess_format(data) == "csv"
    columns = {"day": "Date", "model": "Model", "input_tokens": "In", "output_tokens": "Out, all", "cost_usd": "Cost"}
    (found,) = read_csv(data, columns)
    assert found.lines == [
        Stated(FIRST, "m", 1200, 5, Decimal("1234.50")),
        Stated(date(2026, 11, 3), "m", None, None, Decimal("0.5")),
        Stated(FIRST, "n", 1, 2, Decimal(0)),
        Stated(SECOND, "n", 1_234_567, None, Decimal(-1000)),
    ]
    assert found.days == [FIRST, SECOND, date(2026, 11, 3)]


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
        ("csv", b'day,cost_usd\n2026-11-01,"5,00"\n', "line 2: cost_usd is '5,00'"),
        ("csv", b'day,cost_usd\n2026-11-01,"1.234,50"\n', "line 2: cost_usd is '1.234,50'"),
        ("csv", b'day,cost_usd\n2026-11-01,"1,2345"\n', "line 2: cost_usd is '1,2345'"),
        ("csv", b'day,input_tokens\n2026-11-01,"1,2"\n', "line 2: input_tokens is '1,2'"),
        ("csv", b"day,cost_usd\n20261301,1\n", "line 2: day is '20261301'"),
        ("csv", b"day,cost_usd\n202611,1\n", "line 2: day is '202611'"),
        ("csv", b"day,cost_usd\n1712111200000,1\n", "line 2: day is '1712111200000'"),
        ("csv", b"day,cost_usd\n9999-12-31,1\n", "line 2: day is '9999-12-31'"),
        ("csv", b"day,cost_usd\n0001-01-01T00:00+14:00,1\n", "line 2: day is '0001-01-01T00:00"),
        ("openai", b'{"data":[{"start_time":1,"end_time":2,"results":[]}]}', "is no time of a bill"),
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
