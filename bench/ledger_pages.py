"""How fast the ledger's pages and reports answer over a day of a million exchanges and a month of their sums.

    python -m bench.ledger_pages [--postgresql] [--exchanges 1000000] [--consumers 200] [--models 5] [--days 30]

Fills an empty database, SQLite in a temporary folder or the PostgreSQL of the tests, and prints a table: the median and
the slowest of seven calls in milliseconds, each of them as the admin API makes it.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Table, text
from tests.postgresql import running

from gatewright.control.exchanges import Place, Wanted, list_exchanges
from gatewright.control.usage import UsageQuery, report_usage
from gatewright.store.database import migrate, open_database
from gatewright.store.tables import ATTEMPTS, EXCHANGES, TOKEN_COLUMNS, USAGE_DAYS, USAGE_HOURS

CALLS = 7
HOUR_S, DAY_S = 3_600, 86_400
FIRST_DAY = 1_793_491_200
KINDS = ("", *["rate_limited"] * 2, "upstream_timeout", "disconnected")
STATUSES = {"": 200, "rate_limited": 429, "upstream_timeout": 504, "disconnected": 200}
RARE = "rare-org/team/app"
"""A consumer with one exchange in 50,000."""


class Sizes(argparse.Namespace):
    """What the command line says."""

    exchanges: int
    consumers: int
    models: int
    days: int
    postgresql: bool

    def names(self) -> list[str]:
        return [f"org{n % 20:02}/team{n % 60:03}/app{n:05}" for n in range(self.consumers)]


def exchange_rows(sizes: Sizes) -> Iterator[tuple[tuple[Any, ...], tuple[Any, ...]]]:
    """An exchange and its attempt, in the order of their tables' columns, over the last day, four journals at once."""
    chance = random.Random(4)
    names, day = sizes.names(), FIRST_DAY + (sizes.days - 1) * DAY_S
    step = DAY_S * 1_000_000 // sizes.exchanges
    for n in range(sizes.exchanges):
        journal, number = f"journal-{n % 4}", n // 4 + 1
        consumer = RARE if n % 50_000 == 25_000 else names[int(chance.random() ** 2 * len(names))]
        kind = KINDS[chance.randrange(1, len(KINDS))] if chance.random() < 0.02 else KINDS[0]
        model = chance.randrange(sizes.models)
        counts = (900, 300, 0, 0, 0, 0, 200, 20, 0, 0, 0, 0, 2_500_000, 123_456)
        yield (
            (
                *(journal, number, f"{n:032x}", day * 1_000_000 + n * step, 900_000, 200_000, consumer, "", ""),
                *("chat_completions", f"model-{model}", f"model-{model}", STATUSES[kind], kind, True, "", 1),
                *(False, False, *counts),
            ),
            (
                *(journal, number, 1, f"provider-{model % 3}", "openai", f"upstream-model-{model}", kind or "ok"),
                *(False, False, "abc", 700, *counts),
            ),
        )


def usage_rows(sizes: Sizes, step_s: int) -> Iterator[tuple[Any, ...]]:
    """Sums of every consumer at every model in every hour or day: the worst there can be."""
    chance = random.Random(5)
    for period in range(FIRST_DAY, FIRST_DAY + sizes.days * DAY_S, step_s):
        for consumer in sizes.names():
            for model in range(sizes.models):
                of = (f"model-{model}", f"provider-{model % 3}", f"upstream-model-{model}", "openai")
                counts = [chance.randrange(10**9) for _ in (*TOKEN_COLUMNS, "nano")]
                yield (period, consumer, *of, 200, 2, 204, 1, 0, *counts, chance.randrange(10**6))


def insert_rows(engine: Engine, table: Table, rows: Iterator[tuple[Any, ...]]) -> None:
    """The driver's fastest way in."""
    names = [column.name for column in table.columns]
    with engine.begin() as connection:
        cursor: Any = connection.connection.cursor()
        if engine.dialect.name == "sqlite":
            cursor.executemany(f"INSERT INTO {table.name} VALUES ({', '.join('?' * len(names))})", rows)
            return
        with cursor.copy(f"COPY {table.name} ({', '.join(names)}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)


def fill(engine: Engine, sizes: Sizes) -> None:
    insert_rows(engine, EXCHANGES, (exchange for exchange, _ in exchange_rows(sizes)))
    insert_rows(engine, ATTEMPTS, (attempt for _, attempt in exchange_rows(sizes)))
    insert_rows(engine, USAGE_HOURS, usage_rows(sizes, HOUR_S))
    insert_rows(engine, USAGE_DAYS, usage_rows(sizes, DAY_S))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("VACUUM ANALYZE"))


def pages(engine: Engine, sizes: Sizes) -> dict[str, Callable[[], Sequence[object]]]:
    """What is measured, by name."""
    end = FIRST_DAY + sizes.days * DAY_S
    middle = Place((end - DAY_S // 2) * 1_000_000, "journal-2", sizes.exchanges // 8)
    one = sizes.names()[0]

    def page(after: Place | None = None, **wanted: Any) -> Callable[[], Sequence[object]]:
        return lambda: list_exchanges(engine, Wanted(**wanted), after=after)[0]

    def report(**query: Any) -> Callable[[], Sequence[object]]:
        return lambda: report_usage(engine, UsageQuery(**query)).rows

    month = {"since": FIRST_DAY, "until": end}
    return {
        "newest exchanges": page(),
        "a page from the middle": page(middle),
        "of one consumer": page(consumer=one),
        "of a rare consumer": page(consumer=RARE),
        "below an organisation": page(consumer="org03/*"),
        "below a rare organisation": page(consumer="rare-org/*"),
        "below one that is unknown": page(consumer="nobody/*"),
        "of one model": page(model="model-1"),
        "of an unknown model": page(model="nothing"),
        "with status 429": page(status=429),
        "with status 418, which there is none of": page(status=418),
        "with kind upstream_timeout": page(kind="upstream_timeout"),
        "of one consumer with status 504": page(consumer=one, status=504),
        "of a rare consumer with kind rate_limited": page(consumer=RARE, kind="rate_limited"),
        "with an id": page(id=f"{sizes.exchanges // 3:032x}"),
        "of an unknown key": page(key_id="gone"),
        "usage of the month, by model": report(by=("model",), **month),
        "usage of the month, by provider and upstream model": report(by=("provider", "upstream_model"), **month),
        "usage of the month, by consumer": report(by=("consumer",), **month),
        "usage of the month, by organisation": report(by=("organisation",), **month),
        "usage of the month, by day": report(by=("day",), **month),
        "usage of 30 days that begin at noon, by model": report(by=("model",), since=FIRST_DAY + DAY_S // 2),
        "usage of two days, by hour": report(by=("hour",), since=end - 2 * DAY_S),
        "usage of a week, by hour, of one organisation": report(
            by=("hour",), since=end - 7 * DAY_S, consumer="org03/*"
        ),
        "usage of an organisation, by day and consumer": report(by=("day", "consumer"), consumer="org03/*", **month),
    }


def measure(call: Callable[[], Sequence[object]]) -> tuple[int, float, float]:
    """Rows, median and slowest in milliseconds."""
    rows, times = 0, []
    for _ in range(CALLS):
        start = time.perf_counter()
        rows = len(call())
        times.append((time.perf_counter() - start) * 1_000)
    return rows, statistics.median(times), max(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--postgresql", action="store_true")
    for name, size in (("exchanges", 1_000_000), ("consumers", 200), ("models", 5), ("days", 30)):
        parser.add_argument(f"--{name}", type=int, default=size)
    sizes = parser.parse_args(namespace=Sizes())
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(running({"shared_buffers": "1GB"})).create() if sizes.postgresql else None
        engine = open_database(url, folder, statement_timeout_s=600)
        stack.callback(engine.dispose)
        migrate(engine)
        start = time.perf_counter()
        fill(engine, sizes)
        print(f"filled {engine.dialect.name} in {time.perf_counter() - start:.0f} s: {vars(sizes)}\n", flush=True)
        print("| page | rows | median ms | slowest ms |\n| --- | ---: | ---: | ---: |")
        for name, call in pages(engine, sizes).items():
            rows, median, slowest = measure(call)
            print(f"| {name} | {rows} | {median:.1f} | {slowest:.1f} |", flush=True)


if __name__ == "__main__":
    main()
