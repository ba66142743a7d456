"""What a provider itself says was used: its usage and cost exports, read into one form.

- OpenAI's Usage and Costs APIs: pages of buckets with Unix times; input includes what was cached
  (https://platform.openai.com/docs/api-reference/usage).
- Anthropic's Usage and Cost API: buckets with RFC 3339 times; uncached, cached and written input are apart, and amounts
  are in cents (https://platform.claude.com/docs/en/api/admin/cost_report).
- A CSV file of any other, with the names of its columns.

JSON is read as one page, as a list of pages, or as one page per line. Days are UTC, as the vendors' are.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

CSV_COLUMNS: Final = ("day", "model", "input_tokens", "output_tokens", "cost_usd")
"""What a CSV file may have, by the names that are looked for when nothing else is said."""
_CENTS: Final = 100
_LONGEST_SHOWN: Final = 60
_MONEY: Final = re.compile(r"[$,\s]|USD", re.IGNORECASE)

PageT = TypeVar("PageT")


class UnreadableExport(Exception):
    """A file is no such export, or lacks what it takes; the message says what."""


class Stated(Struct, frozen=True):
    """One line of a provider's statement. None is: it says nothing about that."""

    day: date
    model: str | None = None
    input_tokens: int | None = None
    """All of them, cached ones included."""
    output_tokens: int | None = None
    cost_usd: Decimal | None = None


class Statement(Struct, frozen=True):
    """What one file says."""

    lines: list[Stated]
    first_day: date
    last_day: date
    """The days it covers, those without usage included."""
    is_cut: bool = False
    """Whether it ends with a page behind which there is another."""


def read_openai(data: bytes, _: Mapping[str, str]) -> Statement:
    """Pages of `/v1/organization/usage/…` or `/v1/organization/costs`, grouped by model or by line item."""
    pages = _pages(data, _openai_page, _openai_pages)
    lines, days = [], []
    for bucket in (bucket for page in pages for bucket in page.data):
        day = _utc_day(bucket.start_time)
        days += [day, _utc_day(max(bucket.start_time, bucket.end_time - 1))]
        for result in bucket.results:
            if result.amount is not None:
                _check_currency(result.amount.currency)
                # A line item is the model and what of it: `gpt-4.1-2025-04-14, input`.
                model = result.line_item and result.line_item.partition(", ")[0]
                lines.append(Stated(day, model, cost_usd=result.amount.value))
            else:
                lines.append(Stated(day, result.model, result.input_tokens or 0, result.output_tokens or 0))
    return _statement(lines, days, is_cut=bool(pages) and pages[-1].has_more)


def read_anthropic(data: bytes, _: Mapping[str, str]) -> Statement:
    """Pages of `/v1/organizations/usage_report/messages` by model, or of `…/cost_report` by description."""
    pages = _pages(data, _anthropic_page, _anthropic_pages)
    lines, days = [], []
    for bucket in (bucket for page in pages for bucket in page.data):
        day = bucket.starting_at.astimezone(UTC).date()
        days += [day, (bucket.ending_at - timedelta(seconds=1)).astimezone(UTC).date()]
        for result in bucket.results:
            if result.amount is not None:
                _check_currency(result.currency)
                lines.append(Stated(day, result.model, cost_usd=result.amount / _CENTS))
            else:
                written = (
                    result.cache_creation.ephemeral_5m_input_tokens + result.cache_creation.ephemeral_1h_input_tokens
                )
                taken = result.uncached_input_tokens + result.cache_read_input_tokens + written
                lines.append(Stated(day, result.model, taken, result.output_tokens))
    return _statement(lines, days, is_cut=bool(pages) and pages[-1].has_more)


def read_csv(data: bytes, columns: Mapping[str, str]) -> Statement:
    """A CSV file with a header. `columns` gives the file's own names for those of `CSV_COLUMNS`; a day is needed, and
    tokens or cost."""
    try:
        rows = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        names = {name: columns.get(name, name) for name in CSV_COLUMNS}
        present = {name for name, header in names.items() if header in (rows.fieldnames or ())}
        wanted = {"day", *columns}
        if not wanted <= present or present <= {"day", "model"}:
            missing = ", ".join(names[name] for name in CSV_COLUMNS if name in wanted - present)
            raise UnreadableExport(
                f"the CSV file lacks a column {missing or 'with tokens or cost'}; "
                f"it has {', '.join(rows.fieldnames or ()) or 'none'}"
            )
        lines = [
            _csv_line({name: row[names[name]] or "" for name in present}, rows.line_num)
            for row in rows
            if row[names["day"]]
        ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UnreadableExport(f"no CSV file: {error}") from None
    return _statement(lines, [line.day for line in lines])


READERS: Final[dict[str, Callable[[bytes, Mapping[str, str]], Statement]]] = {
    "openai": read_openai,
    "anthropic": read_anthropic,
    "csv": read_csv,
}
"""By the name of the format."""


def guess_format(data: bytes) -> str:
    """Which reader a file is for, by what it begins with."""
    if data.lstrip()[:1] not in (b"{", b"["):
        return "csv"
    return "anthropic" if b'"starting_at"' in data else "openai"


# -- the vendors' JSON ------------------------------------------------------------------------------------------------


class _Amount(Struct):
    value: Decimal
    currency: str = "usd"


class _OpenaiResult(Struct):
    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    amount: _Amount | None = None
    line_item: str | None = None


class _OpenaiBucket(Struct):
    start_time: int
    end_time: int
    results: list[_OpenaiResult]


class _OpenaiPage(Struct):
    data: list[_OpenaiBucket]
    has_more: bool = False


class _Written(Struct, frozen=True):
    ephemeral_5m_input_tokens: int = 0
    ephemeral_1h_input_tokens: int = 0


class _AnthropicResult(Struct):
    model: str | None = None
    uncached_input_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_creation: _Written = _Written()
    output_tokens: int = 0
    amount: Decimal | None = None
    currency: str = "USD"


class _AnthropicBucket(Struct):
    starting_at: datetime
    ending_at: datetime
    results: list[_AnthropicResult]


class _AnthropicPage(Struct):
    data: list[_AnthropicBucket]
    has_more: bool = False


_openai_page: Final = msgspec.json.Decoder(_OpenaiPage)
_openai_pages: Final = msgspec.json.Decoder(list[_OpenaiPage])
_anthropic_page: Final = msgspec.json.Decoder(_AnthropicPage)
_anthropic_pages: Final = msgspec.json.Decoder(list[_AnthropicPage])


def _pages(data: bytes, one: msgspec.json.Decoder[PageT], many: msgspec.json.Decoder[list[PageT]]) -> list[PageT]:
    try:
        if data.lstrip()[:1] == b"[":
            return many.decode(data)
        try:
            return [one.decode(data)]
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            return one.decode_lines(data)
    except msgspec.DecodeError as error:
        raise UnreadableExport(f"no export of this format: {error}") from None


# -- small parts ------------------------------------------------------------------------------------------------------


def _statement(lines: list[Stated], days: list[date], *, is_cut: bool = False) -> Statement:
    if not days:
        raise UnreadableExport("there is no day in it")
    return Statement(lines, min(days), max(days), is_cut)


def _utc_day(second: int) -> date:
    try:
        return datetime.fromtimestamp(second, UTC).date()
    except (OverflowError, ValueError, OSError):
        raise UnreadableExport(f"{second} is no time") from None


def _check_currency(name: str) -> None:
    if name.upper() != "USD":
        raise UnreadableExport(f"amounts are in {name}; the ledger is in US dollars")


def _csv_line(row: dict[str, str], number: int) -> Stated:
    def value(name: str, parse: Callable[[str], Any]) -> Any:
        text = row.get(name, "").strip()
        try:
            return parse(text) if text else None
        except (ValueError, InvalidOperation):
            raise UnreadableExport(f"line {number}: {name} is {text[:_LONGEST_SHOWN]!r}") from None

    return Stated(
        value("day", _csv_day),
        value("model", str),
        value("input_tokens", _csv_count),
        value("output_tokens", _csv_count),
        value("cost_usd", lambda text: _csv_number(_MONEY.sub("", text))),
    )


def _csv_day(text: str) -> date:
    if text.isdecimal():
        return _utc_day(int(text))
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo is None else at.astimezone(UTC)).date()


def _csv_number(text: str) -> Decimal:
    number = Decimal(text)
    if not number.is_finite():
        raise ValueError(text)
    return number


def _csv_count(text: str) -> int:
    """A whole number; exports of spreadsheets write `1,200` and `1200.0`."""
    number = _csv_number(text.replace(",", ""))
    if number != number.to_integral_value():
        raise ValueError(text)
    return int(number)
