"""The key table at size: `python -m bench.keys [KEYS]` fills one and measures a worker's look-ups and memory.

What a process maps of the table counts as its resident memory but is the page cache's, shared by all workers; what a
worker adds is its anonymous memory, which is printed apart.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gatewright.core.consumer import Scopes
from gatewright.core.keys import KeyRecord, digest_of
from gatewright.store.key_table import KeyReader, KeyTable, Writing

SECRET = b"s" * 32
LOOK_UPS = 200_000


def key(number: int) -> bytes:
    return b"gw-abcdefghij-%049d" % number


def fill(directory: Path, count: int) -> None:
    table = KeyTable(directory)

    def change(writing: Writing) -> None:
        for number in range(count):
            scopes = Scopes(models=("gpt-4.1*",)) if number % 4 == 0 else Scopes()
            path = f"organisation-{number % 50}/team-{number % 1_000}/application-{number}"
            writing.put(digest_of(key(number), SECRET), KeyRecord(f"k{number:09}", path, scopes))

    started = time.perf_counter()
    table.write(change)
    took = time.perf_counter() - started
    size = (directory / "data.mdb").stat().st_size
    print(f"fill: {count:,} keys in {took:.1f} s, {size / 2**20:.0f} MiB")
    table.close()


def memory_kb() -> tuple[int, int]:
    """Anonymous memory, and all that is resident."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
    return int(fields["Anonymous"].split()[0]), int(fields["Rss"].split()[0])


def read(directory: Path, count: int) -> None:
    reader = KeyReader(directory)
    order = random.Random(1)
    keys = [key(number) for number in order.sample(range(count), min(LOOK_UPS, count))]
    few = [keys[n % 1_000] for n in range(LOOK_UPS)]
    unknown = [key(count + n) for n in range(LOOK_UPS)]
    before = memory_kb()
    for name, wanted in (("first look-up", keys), ("known to the worker", few), ("unknown keys", unknown)):
        started = time.perf_counter()
        for one in wanted:
            reader.find(digest_of(one, SECRET))
        print(f"{name}: {(time.perf_counter() - started) / len(wanted) * 1e6:.2f} µs with its digest")
    started = time.perf_counter()
    for _ in range(10_000):
        reader.refresh()
    print(f"refresh: {(time.perf_counter() - started) / 10_000 * 1e6:.2f} µs")
    for number in range(count):
        reader.find(digest_of(key(number), SECRET))
    after = memory_kb()
    print(f"every key touched: anonymous memory +{(after[0] - before[0]) / 1024:.1f} MiB, ", end="")
    print(f"resident with the shared page cache +{(after[1] - before[1]) / 1024:.1f} MiB")


def main() -> None:
    if len(sys.argv) == 3:
        read(Path(sys.argv[1]), int(sys.argv[2]))
        return
    count = int(sys.argv[1]) if len(sys.argv) == 2 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder) / "keys.lmdb", count)
        subprocess.run([sys.executable, "-m", "bench.keys", f"{folder}/keys.lmdb", str(count)], check=True)


if __name__ == "__main__":
    main()
