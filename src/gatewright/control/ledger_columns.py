"""Turns entries of a journal into what the database gets: columns of exchanges and attempts, and sums per hour and day.

Everything is done column by column, thousands of values at once: most entries of a batch are alike and in order, so a
column is looked at as a whole, and value by value only when there is something to mend.

Sums count an exchange at the model and provider of its last attempt (at an empty provider when it had none), by the
hour and day (UTC) in which it began. Tokens, cost, and how many attempts were estimated or have no price count where
they were used.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, chain, compress, repeat
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import astuple

from gatewright.core.ledger import Attempt, Entry, Tokens
from gatewright.store.tables import FEMTO_PER_NANO

HOUR_S: Final = 3_600
DAY_S: Final = 86_400
COUNTS: Final = ("exchanges", "failed", "attempts", "estimated", "unpriced")
GROUP: Final = ("consumer", "model", "provider", "upstream_model")
"""What sums are told apart by, besides the hour or day."""
_US: Final = 1_000_000
_LARGEST_STATUS: Final = 2**31 - 1
_MOST: Final = 10**12
"""Of anything in one attempt. A provider may report what it likes; the sums of years must still fit into 64 bits."""
_MOST_FEMTO: Final = 10**15 * FEMTO_PER_NANO
_LATEST_US: Final = 10**17
_NO_TOKENS: Final = Tokens()
_UNFIT: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, ends of lines, what turns the direction of the text behind it, and halves of characters."""

Columns = dict[str, Sequence[Any]]
"""The columns of some rows by their names, all equally long. Tokens that no row has are left to their default, 0."""


class Batch(Struct, frozen=True):
    """What some entries of one journal come to."""

    exchanges: Columns
    attempts: Columns
    hours: Columns
    """Sums, in the order of their keys; so are those per day."""
    days: Columns
    keys: Mapping[str, int]
    """Keys that were used, and when last (Unix microseconds)."""


def build_batch(journal: str, entries: Sequence[Entry]) -> Batch:
    """The columns of these entries, of which there is at least one."""
    exchanges = _columns(Entry, entries)
    tries: Sequence[list[Attempt]] = exchanges["attempts"]
    counts = list(map(len, tries))
    owners = list(chain.from_iterable(map(repeat, range(len(entries)), counts)))
    """Of each attempt, the place of its exchange."""
    attempts = _columns(Attempt, list(chain.from_iterable(tries)))
    used = _used(attempts)
    _mend_attempts(attempts)
    _mend_exchanges(exchanges)
    of_exchanges = used
    if counts.count(1) < len(counts):
        of_exchanges = {name: _summed(column, owners, len(entries)) for name, column in used.items()}
    hours = _sum_up(exchanges, attempts, used, counts, owners)
    return Batch(
        _exchange_columns(journal, exchanges, counts, owners, attempts) | _in_money(of_exchanges),
        _attempt_columns(journal, exchanges["number"], counts, owners, attempts) | _in_money(used),
        _in_money(hours),
        _in_money(_by_day(hours)),
        _last_uses(exchanges),
    )


def stored_text(text: str, length: int) -> str:
    """A text as the database takes it: not too long, well-formed, and without what a report must not print.

    Clients choose some of it, such as a model's name: nobody shall forge lines and columns of a report or steer the
    terminal of who reads it. PostgreSQL refuses NUL, too.
    """
    if len(text) <= length and text.isprintable():
        return text
    return _UNFIT.sub("\ufffd", text[:length])


# -- columns ----------------------------------------------------------------------------------------------------------


def _columns(kind: type[Struct], structs: Sequence[Struct]) -> Columns:
    names = kind.__struct_fields__
    return dict(zip(names, zip(*map(astuple, structs), strict=True) if structs else repeat(()), strict=False))


def _texts(texts: Sequence[str], length: int) -> Sequence[str]:
    distinct = set(texts)
    if "".join(distinct).isprintable() and max(map(len, distinct), default=0) <= length:
        return texts
    return [stored_text(text, length) for text in texts]


def _wholes(numbers: Sequence[int], most: int = _MOST) -> Sequence[int]:
    if not numbers or (min(numbers) >= 0 and max(numbers) <= most):
        return numbers
    return [min(max(number, 0), most) for number in numbers]


def _summed(values: Iterable[int], into: Iterable[int], size: int) -> list[int]:
    """The sums of the values at each of `size` places; `into` has the place of each value."""
    if size == 1:
        return [sum(values)]
    sums = [0] * size
    for place, value in zip(into, values, strict=True):
        sums[place] += value
    return sums


def _counted(places: Iterable[int], size: int) -> list[int]:
    """How often each of `size` places occurs."""
    counter = Counter(places)
    return [counter[place] for place in range(size)]


def _of(column: Sequence[Any], owners: Iterable[int]) -> list[Any]:
    """The values of exchanges at each of their attempts."""
    return list(map(column.__getitem__, owners))


def _in_money(columns: Columns) -> Columns:
    """The columns with what is called `femto` as nano-dollars and the rest."""
    femto = columns["femto"]
    money: Columns = {
        "cost_nano": [cost // FEMTO_PER_NANO for cost in femto],
        "cost_rest_femto": [cost % FEMTO_PER_NANO for cost in femto],
    }
    return {name: column for name, column in columns.items() if name != "femto"} | money


# -- exchanges and attempts -------------------------------------------------------------------------------------------


def _mend_exchanges(columns: Columns) -> None:
    for name, length in _EXCHANGE_TEXTS.items():
        columns[name] = _texts(columns[name], length)
    columns["started_at_us"] = _wholes(columns["started_at_us"], _LATEST_US)
    for name in ("duration_us", "first_byte_us"):
        columns[name] = _wholes(columns[name])
    columns["status"] = _wholes(columns["status"], _LARGEST_STATUS)


def _mend_attempts(columns: Columns) -> None:
    for name, length in _ATTEMPT_TEXTS.items():
        columns[name] = _texts(columns[name], length)
    columns["upstream_ms"] = _wholes(columns["upstream_ms"])
    used, costs = columns["tokens"], columns["cost_femto_usd"]
    columns["is_unpriced"] = [cost is None and tokens is not None for tokens, cost in zip(used, costs, strict=True)]


def _used(attempts: Columns) -> Columns:
    """What attempts used: tokens of the kinds that there are, and `femto`, the cost."""
    tokens = _columns(Tokens, [tokens or _NO_TOKENS for tokens in attempts["tokens"]])
    used = {name: _wholes(column) for name, column in tokens.items() if any(column)}
    return used | {"femto": _wholes([cost or 0 for cost in attempts["cost_femto_usd"]], _MOST_FEMTO)}


def _exchange_columns(
    journal: str, columns: Columns, counts: Sequence[int], owners: Sequence[int], attempts: Columns
) -> Columns:
    """The columns but for what was used."""
    size = len(counts)
    return {
        "journal": [journal] * size,
        "number": columns["number"],
        "id": columns["id"],
        "started_at_us": columns["started_at_us"],
        "duration_us": columns["duration_us"],
        "first_byte_us": columns["first_byte_us"],
        "consumer": columns["consumer"],
        "end_user": columns["user"],
        "key_id": columns["key_id"],
        "surface": columns["surface"],
        "model": columns["model"],
        "requested_model": columns["requested_model"],
        "status": columns["status"],
        "kind": columns["kind"],
        # Numbers, for SQLite's driver takes long over anything else.
        "is_stream": list(map(int, columns["is_stream"])),
        "cache": columns["cache"],
        "attempts": counts,
        "is_estimated": _marked(compress(owners, attempts["is_estimated"]), size),
        "is_unpriced": _marked(compress(owners, attempts["is_unpriced"]), size),
    }


def _attempt_columns(
    journal: str, numbers: Sequence[int], counts: Sequence[int], owners: Sequence[int], columns: Columns
) -> Columns:
    """The columns but for what was used."""
    return {
        "journal": [journal] * len(owners),
        "number": _of(numbers, owners),
        "position": [position for count in counts for position in range(1, count + 1)],
        "provider": columns["provider"],
        "provider_type": columns["provider_type"],
        "upstream_model": columns["upstream_model"],
        "outcome": columns["outcome"],
        "is_estimated": list(map(int, columns["is_estimated"])),
        "is_unpriced": list(map(int, columns["is_unpriced"])),
        "price_version": columns["price_version"],
        "upstream_ms": columns["upstream_ms"],
    }


def _marked(places: Iterable[int], size: int) -> list[int]:
    marks = [0] * size
    for place in places:
        marks[place] = 1
    return marks


def _last_uses(exchanges: Columns) -> dict[str, int]:
    uses: dict[str, int] = {}
    ids = exchanges["key_id"]
    for key_id, at_us in zip(compress(ids, ids), compress(exchanges["started_at_us"], ids), strict=True):
        if uses.get(key_id, -1) < at_us:
            uses[key_id] = at_us
    return uses


# -- sums -------------------------------------------------------------------------------------------------------------


def _sum_up(
    exchanges: Columns, attempts: Columns, used: Columns, counts: Sequence[int], owners: Sequence[int]
) -> Columns:
    """What counts in each hour for each group."""
    hours = [at_us // (HOUR_S * _US) * HOUR_S for at_us in exchanges["started_at_us"]]
    callers = list(zip(hours, exchanges["consumer"], exchanges["model"], strict=True))
    targets = zip(attempts["provider"], attempts["upstream_model"], strict=True)
    tried = [(*callers[owner], *target) for owner, target in zip(owners, targets, strict=True)]
    last = [
        tried[end - 1] if count else (*caller, "", "")
        for caller, count, end in zip(callers, counts, accumulate(counts), strict=True)
    ]
    keys = sorted({*tried, *last})
    places = {key: place for place, key in enumerate(keys)}
    size = len(keys)
    of_tried, of_last = _of(places, tried), _of(places, last)  # type: ignore[arg-type]
    kinds = dict(zip(of_tried, attempts["provider_type"], strict=True))
    return {
        **dict(zip(("hour", *GROUP), zip(*keys, strict=True), strict=True)),
        "provider_type": [kinds.get(place, "") for place in range(size)],
        "exchanges": _counted(of_last, size),
        "failed": _counted(compress(of_last, exchanges["kind"]), size),
        "attempts": _counted(of_tried, size),
        "estimated": _counted(compress(of_tried, attempts["is_estimated"]), size),
        "unpriced": _counted(compress(of_tried, attempts["is_unpriced"]), size),
        **{name: _summed(column, of_tried, size) for name, column in used.items()},
    }


def _by_day(hours: Columns) -> Columns:
    days = [hour // DAY_S * DAY_S for hour in hours["hour"]]
    keys = list(zip(days, *(hours[name] for name in GROUP), strict=True))
    places = {key: place for place, key in enumerate(sorted(set(keys)))}
    into = [places[key] for key in keys]
    kinds = dict(zip(into, hours["provider_type"], strict=True))
    sums = [name for name in hours if name not in ("hour", *GROUP, "provider_type")]
    return {
        **dict(zip(("day", *GROUP), zip(*places, strict=True), strict=True)),
        "provider_type": [kinds[place] for place in range(len(places))],
        **{name: _summed(hours[name], into, len(places)) for name in sums},
    }


_EXCHANGE_TEXTS: Final = {
    "id": 128,
    "consumer": 600,
    "user": 300,
    "key_id": 200,
    "surface": 60,
    "model": 300,
    "requested_model": 300,
    "kind": 40,
    "cache": 10,
}
_ATTEMPT_TEXTS: Final = {
    "provider": 200,
    "provider_type": 60,
    "upstream_model": 300,
    "outcome": 40,
    "price_version": 100,
}
