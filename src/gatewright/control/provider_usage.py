"""What a provider itself says was used: its usage and cost exports, read into one form.

- OpenAI's Usage and Costs APIs: pages of buckets with Unix times; input includes what was cached
  (https://platform.openai.com/docs/api-reference/usage).
- Anthropic's Usage and Cost API: buckets with RFC 3339 times; uncached, cached and written input are apart, and amounts
  are in cents (https://platform.claude.com/docs/en/api/admin/cost_report).
- A CSV file of any other, with the names of its columns.

JSON is read as one page, as a list of pages, or as one page per line; each page is a statement of its own, for the next
may be of another export. Days are UTC, as the vendors' are.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Literal, TypeVar

import msgspec
from msgspec import Struct

CSV_COLUMNS: Final = ("day", "model", "input_tokens", "output_tokens", "cost_usd")
"""What a CSV file may have, by the names that are looked for when nothing else is said."""
Quantity = Literal["input_tokens", "output_tokens", "cost_usd"]
QUANTITIES: Final[tuple[Quantity, ...]] = ("input_tokens", "output_tokens", "cost_usd")
"""What a line may state."""
_CENTS: Final = 100
_LONGEST_SHOWN: Final = 60
_MONEY: Final = re.compile(r"[$\s]|USD", re.IGNORECASE)
_IN_THOUSANDS: Final = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?", re.ASCII)
_YEARS: Final = range(2000, 3000)
_MOMENT: Final = timedelta(seconds=1)
"""The least that a page covers, should its buckets end where they begin."""
_DAY_DIGITS, _SECONDS_DIGITS = 8, 10
"""Of `20261101`, and of Unix seconds since 2001; other numbers are no day."""

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
    """What one file or page says."""

    lines: list[Stated]
    begin: datetime
    end: datetime
    """The time it covers, in UTC, days without usage included."""
    is_cut: bool = False
    """Whether there is another page behind it, from its end on."""

    @property
    def days(self) -> list[date]:
        """The days it covers."""
        first, last = self.begin.date(), (self.end - datetime.resolution).date()
        return [first + timedelta(days=day) for day in range((last - first).days + 1)]

    @property
    def quantities(self) -> frozenset[Quantity]:
        """What its lines are about; empty for one without lines, which does not say what it would be about."""
        return frozenset(name for name in QUANTITIES if any(getattr(line, name) is not None for line in self.lines))


def read_openai(data: bytes, _: Mapping[str, str]) -> list[Statement]:
    """Pages of `/v1/organization/usage/…` or `/v1/organization/costs`, grouped by model or by line item."""
    return _statements(map(_read_openai_page, _pages(data, _openai_page, _openai_pages)))


def read_anthropic(data: bytes, _: Mapping[str, str]) -> list[Statement]:
    """Pages of `/v1/organizations/usage_report/messages` by model, or of `…/cost_report` by description."""
    return _statements(map(_read_anthropic_page, _pages(data, _anthropic_page, _anthropic_pages)))


def read_csv(data: bytes, columns: Mapping[str, str]) -> list[Statement]:
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
    begins = [datetime.combine(line.day, time(), UTC) for line in lines]
    return _statements([(lines, [(begin, begin + timedelta(days=1)) for begin in begins], False)])


READERS: Final[dict[str, Callable[[bytes, Mapping[str, str]], list[Statement]]]] = {
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


_Page = tuple[list[Stated], list[tuple[datetime, datetime]], bool]
"""Its lines, the begin and end of its buckets, and whether there is another page."""

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


def _read_openai_page(page: _OpenaiPage) -> _Page:
    lines, buckets = [], []
    for bucket in page.data:
        begin = _utc(_of_seconds(bucket.start_time))
        day = begin.date()
        buckets.append((begin, _utc(_of_seconds(bucket.end_time))))
        for result in bucket.results:
            if result.amount is not None:
                _check_currency(result.amount.currency)
                # A line item is the model and what of it: `gpt-4.1-2025-04-14, input`.
                model = result.line_item and result.line_item.partition(", ")[0]
                lines.append(Stated(day, model, cost_usd=result.amount.value))
            else:
                lines.append(Stated(day, result.model, result.input_tokens or 0, result.output_tokens or 0))
    return lines, buckets, page.has_more


def _read_anthropic_page(page: _AnthropicPage) -> _Page:
    lines, buckets = [], []
    for bucket in page.data:
        begin = _utc(bucket.starting_at)
        day = begin.date()
        buckets.append((begin, _utc(bucket.ending_at)))
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
    return lines, buckets, page.has_more


# -- small parts ------------------------------------------------------------------------------------------------------


def _statements(pages: Iterable[_Page]) -> list[Statement]:
    found: list[Statement] = []
    for lines, buckets, is_cut in pages:
        if buckets:
            begin = min(begin for begin, _ in buckets)
            found.append(Statement(lines, begin, max(begin + _MOMENT, *(end for _, end in buckets)), is_cut))
        elif found:
            found[-1] = msgspec.structs.replace(found[-1], is_cut=is_cut)
    if not found:
        raise UnreadableExport("there is no day in it")
    return found


def _of_seconds(second: int) -> datetime:
    try:
        return datetime.fromtimestamp(second, UTC)
    except (OverflowError, ValueError, OSError):
        raise UnreadableExport(f"{second} is no time") from None


def _utc(at: datetime) -> datetime:
    if at.year not in _YEARS:
        raise UnreadableExport(f"{at.isoformat()} is no time of a bill")
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def _check_currency(name: str) -> None:
    if name.upper() != "USD":
        raise UnreadableExport(f"amounts are in {name}; the ledger is in US dollars")


def _csv_line(row: dict[str, str], number: int) -> Stated:
    def value(name: str, parse: Callable[[str], Any]) -> Any:
        text = row.get(name, "").strip()
        try:
            return parse(text) if text else None
        except (ValueError, InvalidOperation, UnreadableExport):
            raise UnreadableExport(f"line {number}: {name} is {text[:_LONGEST_SHOWN]!r}") from None

    return Stated(
        value("day", _csv_day),
        value("model", str),
        value("input_tokens", _csv_count),
        value("output_tokens", _csv_count),
        value("cost_usd", lambda text: _csv_number(_MONEY.sub("", text))),
    )


def _csv_day(text: str) -> date:
    if not text.isdecimal() or len(text) == _DAY_DIGITS:
        return _utc(datetime.fromisoformat(text)).date()
    if len(text) != _SECONDS_DIGITS:
        raise ValueError(text)
    return _utc(_of_seconds(int(text))).date()


def _csv_number(text: str) -> Decimal:
    """A number with a decimal point. Commas only divide thousands: who writes decimals with them is not misread."""
    number = Decimal(text.replace(",", "") if _IN_THOUSANDS.fullmatch(text) else text)
    if not number.is_finite():
        raise ValueError(text)
    return number


def _csv_count(text: str) -> int:
    """A whole number; exports of spreadsheets write `1,200` and `1200.0`."""
    number = _csv_number(text)
    if number != number.to_integral_value():
        raise ValueError(text)
    return int(number)
