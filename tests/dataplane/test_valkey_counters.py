"""Counters on a real Valkey server: one model with the others, no overshoot, no lock-out, whatever dies."""

from __future__ import annotations

import asyncio
import random
import signal
import ssl
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import settings
from tests.contract.counter_machine import CounterMachine, Subject
from valkey_server import Valkey, answer_of, build_replica, until

from gatewright.config.counters import Counters
from gatewright.control.budget_seeding import seed_server
from gatewright.core.counting import Allowance, Kind, Refused
from gatewright.core.errors import GatewayError
from gatewright.core.grant import Grant
from gatewright.core.secret import Secret
from gatewright.store.leases import GIVEN_BACK_S
from gatewright.store.redis_events import Happening
from gatewright.store.redis_link import PROBE_S, Call
from gatewright.store.redis_scripts import BOOK, SCRIPTS
from gatewright.testing.clock import FakeClock

pytestmark = pytest.mark.sockets


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    with Valkey() as running:
        MachineServer.url = running.url
        yield running


class MachineServer:
    """Where the state machine finds the module's server; hypothesis builds it without arguments."""

    url = ""


class ValkeyMachine(CounterMachine):
    def build_subject(self, clock: FakeClock) -> Subject:
        loop, prefix = asyncio.new_event_loop(), uuid.uuid4().hex
        # Hypothesis may think for long between two steps, while the loop stands still.
        options = {"prefix": prefix, "timeout_ms": 10_000, "server_clock_us": lambda: int(clock() * 1e6)}
        pairs = [build_replica(MachineServer.url, **options) for _ in range(2)]
        replicas = [replica for replica, _ in pairs]

        async def open_all() -> None:
            for replica in replicas:
                await replica.open()

        async def close_all() -> None:
            for replica in replicas:
                await replica.close()

        def flush() -> None:
            for replica in replicas:
                loop.run_until_complete(until(lambda replica=replica: not replica.is_owing))

        def close() -> None:
            loop.run_until_complete(close_all())
            loop.close()
            assert not [event for _, events in pairs for event in events if event.happening is Happening.DOWN]

        loop.run_until_complete(open_all())

        # Calls are made in the loop, as a worker makes them.
        return Subject([InLoop(replica, loop) for replica in replicas], flush=flush, close=close)


class InLoop:
    """A replica whose methods are called from outside its loop."""

    def __init__(self, replica: object, loop: asyncio.AbstractEventLoop) -> None:
        self._replica = replica
        self._loop = loop

    def __getattr__(self, name: str) -> object:
        method = getattr(self._replica, name)

        def call(*arguments: object) -> object:
            async def inside() -> object:
                return await answer_of(method(*arguments))

            return self._loop.run_until_complete(inside())

        return call


@pytest.mark.usefixtures("server")
class TestValkeyMachine(ValkeyMachine.TestCase):  # type: ignore[name-defined,misc]
    settings = settings(max_examples=25, stateful_step_count=30, deadline=None)


# --- races

REPLICAS = 3


@asynccontextmanager
async def replicas_of(url: str, count: int = REPLICAS, **options: Any) -> Any:
    """Some opened replicas with a prefix of their own, and the events of each."""
    options.setdefault("prefix", uuid.uuid4().hex)
    pairs = [build_replica(url, **options) for _ in range(count)]
    for replica, _ in pairs:
        await replica.open()
    try:
        yield [replica for replica, _ in pairs], [events for _, events in pairs]
    finally:
        for replica, _ in pairs:
            await replica.close()


def budget(limit: int, key: str = "b") -> Allowance:
    return Allowance(key, Kind.BUDGET, limit, ends_at=time.time() + 3_600)


@pytest.mark.parametrize("kind", Kind)
def test_a_thousand_at_once_share_what_is_for_a_hundred(server: Valkey, kind: Kind) -> None:
    async def run() -> None:
        allowance = Allowance("b", kind, 1_000, period_s=3_600)
        async with replicas_of(server.url) as (replicas, _):
            answers = await asyncio.gather(
                *(answer_of(replicas[i % REPLICAS].reserve([allowance], [10])) for i in range(1_000))
            )
            assert sum(isinstance(answer, Grant) for answer in answers) == 100
            assert await answer_of(replicas[0].used([allowance])) == [1_000]
            # Nobody is locked out: what half of them did not use is there for the others.
            for i, answer in enumerate(answers):
                if isinstance(answer, Grant):
                    replicas[i % REPLICAS].settle(answer, [5])
            await until(lambda: not any(replica.is_owing for replica in replicas))
            used = 0 if kind is Kind.CONCURRENT else 500
            assert await answer_of(replicas[0].used([allowance])) == [used]
            again = [await answer_of(replicas[i % REPLICAS].reserve([allowance], [10])) for i in range(101)]
            assert sum(isinstance(answer, Grant) for answer in again) == (1_000 - used) / 10

    asyncio.run(run())


@pytest.mark.parametrize("kind", [Kind.SLIDING, Kind.BUDGET])
def test_leases_never_pass_the_limit_and_lock_nobody_out(server: Valkey, kind: Kind) -> None:
    limit = 2_000

    async def run() -> None:
        allowance = Allowance("b", kind, limit, period_s=86_400)
        used = asked = at_once = 0
        async with replicas_of(server.url, lease=0.1) as (replicas, _):
            end = time.monotonic() + 60
            refused_since = 0.0
            while used < limit:
                assert time.monotonic() < end
                replica = random.choice(replicas)
                asked += 1
                answer = replica.reserve([allowance], [3])
                at_once += isinstance(answer, Grant)
                answer = await answer_of(answer)
                if isinstance(answer, Refused):
                    if limit - used < 3:
                        break
                    refused_since = refused_since or time.monotonic()
                    assert time.monotonic() - refused_since < GIVEN_BACK_S + 0.5, "idle leases come back"
                    await asyncio.sleep(0.05)
                    continue
                refused_since = 0.0
                spent = random.randint(1, 3)
                used += spent
                replica.settle(answer, [spent])
                assert used <= limit
                if asked % 20 == 0:
                    await asyncio.sleep(0.002)
            await until(lambda: not any(replica.is_owing for replica in replicas))
        async with replicas_of(server.url, 1, prefix=replicas[0]._prefix) as ([reader], _):
            assert await answer_of(reader.used([allowance])) == [used], "what was not used is given back"
        assert at_once > 0.6 * asked, "most are granted without a round trip"

    asyncio.run(run())


def test_processes_share_a_budget(server: Valkey) -> None:
    program = Path(__file__).parent / "stand_ins" / "counting_replica.py"
    for lease in ("0", "0.05"):
        prefix = uuid.uuid4().hex
        command = [sys.executable, str(program), server.url, prefix, lease, "1000"]
        running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(REPLICAS)]
        granted = [int(process.communicate(timeout=60)[0]) for process in running]
        assert sum(granted) == 1_000
        assert min(granted) > 0


# --- outages


async def spend(replica: Any, allowance: Allowance, until_: asyncio.Event, tally: dict[str, int]) -> None:
    """What a worker does: reserve, answer for a moment, settle less than was reserved."""
    while not until_.is_set():
        started = time.monotonic()
        try:
            answer = await answer_of(replica.reserve([allowance], [10]))
        except GatewayError:
            tally["closed"] += 1
            answer = None
        tally["slowest_ms"] = max(tally["slowest_ms"], int((time.monotonic() - started) * 1_000))
        if isinstance(answer, Grant):
            await asyncio.sleep(random.uniform(0.001, 0.02))
            spent = random.randint(1, 10)
            replica.settle(answer, [spent])
            tally["used"] += spent
        else:
            tally["refused"] += answer is not None
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("lease", [0.0, 0.02])
@pytest.mark.parametrize("mode", ["local", "open", "closed"])
def test_a_server_that_is_killed_and_comes_back(mode: str, lease: float) -> None:
    limit, share = 6_000, 0.1

    async def run(server: Valkey) -> None:
        allowance, stop = budget(limit), asyncio.Event()
        tally = dict.fromkeys(("used", "refused", "closed", "slowest_ms"), 0)
        options = {"on_outage": mode, "share": share, "lease": lease, "timeout_ms": 250}
        async with replicas_of(server.url, **options) as (replicas, events):
            tasks = [asyncio.create_task(spend(replicas[i % REPLICAS], allowance, stop, tally)) for i in range(24)]
            await until(lambda: tally["used"] > 500)
            server.kill()
            await until(lambda: all(any(e.happening is Happening.DOWN for e in es) for es in events))
            await asyncio.sleep(0.5)
            server.start()
            await until(lambda: all(any(e.happening is Happening.UP for e in es[1:]) for es in events))
            # With all of it spent, or soon enough where nothing refuses.
            refused, end = tally["refused"], time.monotonic() + (20 if mode != "open" else 1)
            while time.monotonic() < end and tally["refused"] < refused + 50:
                await asyncio.sleep(0.01)
            stop.set()
            await asyncio.gather(*tasks)
            await until(lambda: not any(replica.is_owing for replica in replicas))
            if lease:
                await asyncio.sleep(GIVEN_BACK_S + 0.5)
                await until(lambda: not any(replica.is_owing for replica in replicas))
            [booked] = await answer_of(replicas[0].used([allowance]))
        assert tally["used"] <= booked <= tally["used"] + 10 * 24, (
            "all is booked, but reservations whose answer was lost"
        )
        if mode == "local":
            assert tally["used"] <= limit * (1 + REPLICAS * share)
        if mode == "closed":
            assert tally["used"] <= limit
            assert tally["closed"] > 0
        if mode == "open":
            assert any(e.happening is Happening.UNCOUNTED and e.count for es in events for e in es)
        else:
            assert tally["used"] > 0.9 * limit, "nobody is locked out while some is left"

    with Valkey(durable=True) as server:
        asyncio.run(run(server))


def test_a_server_that_hangs_holds_nobody_up_and_late_grants_are_returned() -> None:
    async def run(server: Valkey) -> None:
        async with replicas_of(server.url, 1, timeout_ms=50) as ([replica], [events]):
            allowance = budget(1_000)
            server.signal(signal.SIGSTOP)
            try:
                started = time.monotonic()
                first = await answer_of(replica.reserve([allowance], [600]))
                waited_s = time.monotonic() - started
                assert isinstance(first, Refused), "half of the limit is the share"
                assert 0.05 <= waited_s < 0.5
                second = replica.reserve([allowance], [400])
                assert isinstance(second, Grant), "at once"
                replica.settle(second, [300])
            finally:
                server.signal(signal.SIGCONT)
            await until(lambda: replica._link.is_up and not replica.is_owing, PROBE_S + 5)
            events = [event for event in events if event.happening is not Happening.EMPTIED]
            assert [event.happening for event in events] == [Happening.UP, Happening.DOWN, Happening.UP]
            assert "50 ms" in events[1].reason
            await until(lambda: not replica.is_owing)
            assert await answer_of(replica.used([allowance])) == [300]

    with Valkey() as server:
        asyncio.run(run(server))


def test_a_server_without_its_data_says_so_and_is_told_again() -> None:
    async def run(server: Valkey) -> None:
        async with replicas_of(server.url, 2) as ([one, other], events):
            allowance = budget(1_000)
            await until(lambda: any(e.happening is Happening.EMPTIED for e in events[0] + events[1]))
            grant = await answer_of(one.reserve([allowance], [900]))
            one.settle(grant, [900])
            await until(lambda: not one.is_owing)
            holding = await answer_of(one.reserve([allowance], [50]))
            await one.note_raised("ledger", await one.lacking("ledger"))
            assert not await other.lacking("ledger")
            for es in events:
                es.clear()
            server.kill()
            server.start()
            await until(lambda: all(any(e.happening is Happening.EMPTIED for e in es) for es in events))
            generation = await one.lacking("ledger")
            assert generation == await other.lacking("ledger")
            assert await one.raise_settled(allowance, 900)
            assert await other.raise_settled(allowance, 800)
            await one.note_raised("ledger", generation)
            assert not await other.lacking("ledger")
            assert await answer_of(one.used([allowance])) == [900]
            assert isinstance(await answer_of(other.reserve([allowance], [101])), Refused)
            # What was reserved before is gone; settling it books what it used, and takes nothing away.
            one.settle(holding, [40])
            await until(lambda: not one.is_owing)
            assert await answer_of(other.used([allowance])) == [940]

    with Valkey() as server:
        asyncio.run(run(server))


def test_budgets_on_a_server_are_raised_once_to_each_ledger(server: Valkey) -> None:
    settings = Counters(store="redis", url=Secret(server.url), prefix=uuid.uuid4().hex)
    old, new = budget(1_000, "old"), budget(1_000, "new")

    async def used() -> list[int]:
        async with replicas_of(server.url, 1, prefix=settings.prefix) as ([replica], _):
            found: list[int] = await answer_of(replica.used([old, new]))
            return found

    for ledger, spent, expected in (
        ("one", [(old, 60)], [60, 0]),
        ("one", [(old, 70), (new, 60)], [60, 0]),
        ("two", [(old, 65)], [65, 0]),
    ):
        seed_server(settings, ledger, partial(list, spent), time.time)
        assert asyncio.run(used()) == expected


def test_a_server_that_is_not_there_at_the_start() -> None:
    async def run(server: Valkey) -> None:
        async with replicas_of(server.url, 1) as ([replica], [events]):
            assert [event.happening for event in events] == [Happening.DOWN]
            allowance = budget(100)
            grant = replica.reserve([allowance], [40])
            assert isinstance(grant, Grant)
            assert isinstance(replica.reserve([allowance], [11]), Refused)
            server.start()
            await until(lambda: replica._link.is_up and not replica.is_owing)
            assert await answer_of(replica.used([allowance])) == [40], "what is still held is reserved"
            assert await answer_of(replica.extend(grant, [30])) is None
            replica.settle(grant, [65])
            await until(lambda: not replica.is_owing)
            assert await answer_of(replica.used([allowance])) == [65]

    server = Valkey()
    try:
        asyncio.run(run(server))
    finally:
        server.__exit__()


# --- the server's side


def test_a_batch_that_is_sent_again_is_counted_once(server: Valkey) -> None:
    async def run() -> None:
        async with replicas_of(server.url, 1) as ([replica], _):
            allowance = budget(100)
            sent: list[Any] = []
            heard: list[bytes] = []
            call = replica._link.call

            def lose_the_answer(this: Any) -> None:
                sent.append(this)
                if this.script is not BOOK or len([c for c in sent if c.script is BOOK]) > 1:
                    call(this)
                    return
                this.on_reply, on_reply = lambda _: this.on_failure(), this.on_reply
                call(this)
                assert on_reply is not None

            grant = await answer_of(replica.reserve([allowance], [30]))
            replica._link.call = lose_the_answer
            replica.settle(grant, [20])
            await until(lambda: not replica.is_owing)
            books = [c for c in sent if c.script is BOOK]
            assert [c.arguments[1] for c in books[:2]] == [books[0].arguments[1]] * 2, "the same batch"
            assert await answer_of(replica.used([allowance])) == [20]
            replica.settle(await answer_of(replica.reserve([allowance], [5])), [5])
            await until(lambda: not replica.is_owing)
            call(Call(BOOK, books[0].keys, books[0].arguments, heard.append, lambda: heard.append(b"")))
            await until(lambda: bool(heard))
            assert heard != [b""]
            assert await answer_of(replica.used([allowance])) == [25], "held up until the next was booked"

    asyncio.run(run())


def test_scripts_are_loaded_again_and_nothing_stays_for_ever(server: Valkey) -> None:
    async def run() -> None:
        async with replicas_of(server.url, 1) as ([replica], [events]):
            client = replica._own_link._client
            await client.script_flush()
            kinds = [Allowance(f"k{int(kind)}", kind, 10, 60.0, time.time() + 60) for kind in Kind]
            for_ever = Allowance("total", Kind.BUDGET, 10)
            grant = await answer_of(replica.reserve([*kinds, for_ever], [2, 2, 2, 2]))
            assert isinstance(grant, Grant)
            replica.settle(grant, [1, 1, 1, 1])
            await until(lambda: not replica.is_owing)
            await replica.note_raised("ledger", await replica.lacking("ledger"))
            assert await replica.settled([for_ever]) == [1]
            assert Happening.DOWN not in [event.happening for event in events]
            names = [name.decode() async for name in client.scan_iter(f"{{{replica._prefix}}}*")]
            lives_s = {name.partition("}:")[2]: await client.pttl(name) / 1_000 for name in names}
            lives_s.pop("probe", None)
            assert lives_s.pop("generation") < 0
            assert lives_s.pop("raised:ledger") < 0
            assert lives_s.pop("b:total") < 0
            assert 60 < lives_s.pop("s60:k0") <= 68 + 1
            assert 600 < lives_s.pop("b:k1") <= 661
            assert lives_s.pop(f"replica:{replica._name}") > 3_600
            assert lives_s == {}, "nothing is in use any more"
            assert len(SCRIPTS) == 6

    asyncio.run(run())


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--cluster-enabled", "yes"], "cluster"),
        (["--requirepass", "right"], "AUTH"),
        (["--replicaof", "127.0.0.1 1"], "read only"),
    ],
)
def test_a_server_that_cannot_count_is_away_with_a_reason(arguments: list[str], reason: str) -> None:
    async def run(server: Valkey) -> None:
        url = server.url if "right" not in arguments else server.url.replace("//", "//:hunter2@")
        async with replicas_of(url, 1, on_outage="closed") as ([replica], [events]):
            assert [event.happening for event in events] == [Happening.DOWN]
            assert reason.lower() in events[0].reason.lower() or "invalid username-password" in events[0].reason
            assert "hunter2" not in repr(events)
            with pytest.raises(GatewayError, match="cannot be checked"):
                replica.reserve([budget(10)], [1])

    with Valkey(False, *arguments) as server:
        asyncio.run(run(server))


def test_the_rights_in_the_documentation_are_enough(server: Valkey) -> None:
    page = (Path(__file__).parents[2] / "docs/how-to/valkey.md").read_text()
    line = next(line for line in page.splitlines() if line.startswith("ACL SETUSER"))

    async def run() -> None:
        async with replicas_of(server.url, 1) as ([administrator], _):
            await administrator._own_link._client.execute_command(*line.split())
        url = server.url.replace("//", "//gateway:PASSWORD@")
        async with replicas_of(url, 1, prefix="gatewright", lease=0.1) as ([replica], [events]):
            allowances = [Allowance(f"rights{int(kind)}", kind, 100, 60.0) for kind in Kind]
            for _ in range(3):
                grant = await answer_of(replica.reserve(allowances, [2, 2, 2]))
                assert isinstance(grant, Grant)
                assert await answer_of(replica.extend(grant, [1, 1, 1])) is None
                replica.settle(grant, [1, 1, 1])
                await until(lambda: not replica.is_owing)
            assert await replica.raise_settled(allowances[Kind.BUDGET], 50)
            assert Happening.DOWN not in [event.happening for event in events]

    asyncio.run(run())


def test_a_socket_of_the_same_machine() -> None:
    async def run(server: Valkey) -> None:
        async with replicas_of(f"unix://{server.folder}/socket", 1) as ([replica], _):
            assert isinstance(await answer_of(replica.reserve([budget(10)], [10])), Grant)
            assert isinstance(await answer_of(replica.reserve([budget(10)], [1])), Refused)

    with Valkey(False, "--unixsocket", "socket") as server:
        asyncio.run(run(server))


@pytest.mark.parametrize("is_trusted", [True, False])
def test_tls_is_checked_against_the_given_authority(tmp_path: Path, is_trusted: bool) -> None:
    authority, bundle = trustme.CA(), tmp_path / "ca.pem"
    (authority if is_trusted else trustme.CA()).cert_pem.write_to_path(str(bundle))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)

    async def run(server: Valkey) -> None:
        async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(65_536):
                writer.write(data)
            writer.close()

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", server.port)
            await asyncio.gather(pipe(reader, inner_writer), pipe(inner_reader, writer), return_exceptions=True)

        # The server that comes with the tests knows no TLS, so it is put before it.
        async with await asyncio.start_server(relay, "127.0.0.1", 0, ssl=context) as front:
            url = f"rediss://localhost:{front.sockets[0].getsockname()[1]}"
            async with replicas_of(url, 1, ca=str(bundle)) as ([replica], [events]):
                assert replica._link.is_up == is_trusted, events
                if is_trusted:
                    assert isinstance(await answer_of(replica.reserve([budget(10)], [10])), Grant)
                else:
                    assert "certificate verify failed" in events[0].reason

    with Valkey() as server:
        asyncio.run(run(server))
