"""A replica in a process of its own: takes from a budget until it is refused for good, and prints how much it got.

Arguments: the server's URL, the prefix, the lease, the budget's limit.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from valkey_server import answer_of, build_replica, until

from gatewright.core.counting import Allowance, Kind
from gatewright.core.grant import Grant
from gatewright.store.leases import GIVEN_BACK_S


async def main(url: str, prefix: str, lease: float, limit: int) -> int:
    replica, _ = build_replica(url, prefix=prefix, lease=lease)
    await replica.open()
    allowance = Allowance("b", Kind.BUDGET, limit)
    granted = 0
    last = time.monotonic()
    while time.monotonic() - last < (GIVEN_BACK_S + 1.0 if lease else 0.5):
        answer = await answer_of(replica.reserve([allowance], [1]))
        if isinstance(answer, Grant):
            granted += 1
            last = time.monotonic()
            replica.settle(answer, [1])
            await asyncio.sleep(0.001)
        else:
            await asyncio.sleep(0.02)
    await until(lambda: not replica.is_owing)
    await replica.close()
    return granted


print(asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]))))
