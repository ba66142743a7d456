"""The supervisor over stand-in children: whatever dies or is replaced, the address keeps answering."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from supervised import Control, Supervised, is_alive, kill, wait_until

from gatewright.core.messages import Apply, Configure, Rejected, Reload, Roll, Status

pytestmark = pytest.mark.sockets

SLEEPER = [sys.executable, "-c", "import sys; sys.stdin.buffer.read()"]
DEAF = [sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"]


@pytest.fixture
def two() -> Iterator[Supervised]:
    with Supervised(workers=2) as supervised:
        yield supervised


def workers(status: Status) -> dict[str, list[tuple[str, int]]]:
    """State and process of every worker, by place."""
    found: dict[str, list[tuple[str, int]]] = {}
    for name, state, pid, _ in status.children:
        if name.startswith("worker"):
            found.setdefault(name, []).append((state, pid))
    return found


def is_settled(status: Status, version: int = 1) -> bool:
    """Whether every place has exactly one ready worker and everybody runs the version."""
    return (
        status.ready_workers == status.wanted_workers
        and status.version == version
        and all(len(rows) == 1 for rows in workers(status).values())
    )


def pids(control: Control, version: int = 1) -> set[int]:
    """The workers' processes once all is settled."""
    return {pid for rows in workers(control.status(lambda s: is_settled(s, version))).values() for _, pid in rows}


class Load:
    """Requests one after the other from a thread, each on a connection of its own; failures are kept."""

    def __init__(self, supervised: Supervised) -> None:
        self.answers: list[tuple[int, int, int]] = []
        self.failures: list[Exception] = []
        self._supervised = supervised
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.answers.append(self._supervised.get())
            except Exception as error:
                self.failures.append(error)


def test_it_serves_at_once_and_drains_on_term(two: Supervised) -> None:
    control = two.control()
    children = pids(control) | {control.pid}
    assert two.get()[2] == 1
    two.signal(signal.SIGTERM)
    assert two.wait() == 0
    assert not any(map(is_alive, children))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(tuple(two.listen.split(":")), timeout=1)  # type: ignore[arg-type]


def test_a_running_request_is_finished_before_the_end(two: Supervised) -> None:
    answers: list[tuple[int, int, int]] = []
    thread = threading.Thread(target=lambda: answers.append(two.get("/slow?0.5")))
    thread.start()
    wait_until(lambda: any(is_connected(pid) for pid in pids(two.control())), "the request has arrived")
    two.signal(signal.SIGTERM)
    assert two.wait() == 0
    thread.join()
    assert len(answers) == 1


def is_connected(pid: int) -> bool:
    """Whether a worker holds more sockets than its listener, channel and telemetry: a client is connected."""
    try:
        links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    except OSError:
        return False
    # Two more belong to the event loop.
    return sum(link.startswith("socket:") for link in links) > 5


def test_nothing_is_left_when_it_is_stopped_while_it_starts() -> None:
    for _ in range(5):
        with Supervised(workers=2) as supervised:
            supervised.signal(signal.SIGTERM)
            assert supervised.wait() == 0
            again = Supervised(listen=supervised.listen, admin=supervised.admin)
            with again:
                assert again.admin == supervised.admin


def test_what_does_not_finish_is_cut_after_the_drain_time() -> None:
    with Supervised(drain_s=0.2, services={"deaf": DEAF}) as supervised:
        control = supervised.control()
        status = control.status(lambda s: any(row[0] == "deaf" and row[1] == "ready" for row in s.children))
        deaf = next(pid for name, _, pid, _ in status.children if name == "deaf")
        supervised.signal(signal.SIGTERM)
        assert supervised.wait() == 0
        assert not is_alive(deaf)
        assert any(e["event"] == "did not end in time; killed" and e["child"] == "deaf" for e in supervised.events())


def test_a_second_interrupt_ends_everything_at_once(two: Supervised) -> None:
    lost: list[Exception] = []

    def ask() -> None:
        try:
            two.get("/slow?30")
        except Exception as error:
            lost.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    children = pids(two.control())
    wait_until(lambda: any(map(is_connected, children)), "the request has arrived")
    begun = time.monotonic()
    two.signal(signal.SIGINT)
    two.control().status(lambda s: s.ready_workers == 0)
    two.signal(signal.SIGINT)
    assert two.wait() == 1
    assert time.monotonic() - begun < 5
    assert not any(map(is_alive, children))
    thread.join()
    assert len(lost) == 1


def test_a_killed_worker_is_replaced_on_the_same_socket_without_a_refused_connection(two: Supervised) -> None:
    control = two.control()
    before = pids(control)
    victim = min(before)
    with Load(two) as load:
        kill(victim)
        control.status(lambda s: not is_settled(s))
        after = pids(control)
        count = len(load.answers)
        wait_until(lambda: len(load.answers) > count + 20, "requests go on")
    assert victim not in after
    assert len(after) == 2
    assert {answer[0] for answer in load.answers} & (after - before), "the replacement answers"
    # A request that the killed worker had accepted is lost with it, and no other.
    assert len(load.failures) <= 1
    assert not any(isinstance(failure, ConnectionRefusedError) for failure in load.failures)


def test_a_worker_that_dies_time_and_again_is_started_more_and_more_slowly() -> None:
    with Supervised(workers=1) as supervised:
        control = supervised.control()
        (first,) = pids(control)
        for _ in range(3):
            (pid,) = pids(control)
            kill(pid)
            control.status(lambda s, pid=pid: is_settled(s) and (("ready", pid) not in workers(s)["worker-1"]))
        assert supervised.get()[0] != first
        supervised.signal(signal.SIGTERM)
        supervised.wait()
        waits = [e["in_s"] for e in supervised.events() if e["event"].startswith("ended unexpectedly")]
        assert waits == [0.1, 0.2, 0.4]
        assert {e["status"] for e in supervised.events() if "status" in e} == {"SIGKILL"}


def test_connections_go_to_the_others_while_a_place_stays_empty_for_long(two: Supervised) -> None:
    control = two.control()
    pids(control)
    status = control.status(is_settled)
    for death in range(1, 6):
        ((_, pid),) = workers(status)["worker-1"]
        kill(pid)
        control.status(lambda s, pid=pid: ("ready", pid) not in workers(s)["worker-1"])
        status = control.status(is_settled) if death < 5 else status
    begun = time.monotonic()
    with suppress(ConnectionResetError):
        # What connects before the supervisor has seen to it waits in the dead worker's socket, and is reset with it.
        two.get()
    slots = {two.get()[1] for _ in range(40)}
    assert (slots, time.monotonic() - begun < 1) == ({2}, True), "the first worker is started again after 1.6 s only"
    control.status(is_settled)
    wait_until(lambda: two.get()[1] == 1, "the first worker gets connections again")


def test_a_reload_reaches_every_worker_and_their_replacements(two: Supervised) -> None:
    control = two.control()
    before = pids(control)
    two.signal(signal.SIGHUP)
    control.wait_for(lambda m: isinstance(m, Reload))
    control.say(Apply(b"second", 30.0))
    assert pids(control, version=2) == before
    assert control.wait_for(lambda m: isinstance(m, Configure) and m.version == 2) == Configure(2, b"second")
    assert two.get()[2] == 2
    for pid in before:
        kill(pid)
    control.status(lambda s: not is_settled(s, 2))
    assert pids(control, version=2).isdisjoint(before)
    assert two.get()[2] == 2


def test_a_hangup_of_its_terminal_ends_it_instead_of_reloading() -> None:
    ours, terminal = pty.openpty()
    with Supervised(stderr=terminal) as supervised:
        os.close(terminal)
        control = supervised.control()
        pids(control)
        supervised.signal(signal.SIGHUP)
        control.wait_for(lambda m: isinstance(m, Reload))
        os.close(ours)
        supervised.signal(signal.SIGHUP)
        assert supervised.wait() == 0


def test_a_document_that_workers_refuse_leaves_the_old_one_in_place_and_says_so(two: Supervised) -> None:
    control = two.control()
    before = pids(control)
    control.say(Apply(b"refuse this", 30.0))
    status = control.status(lambda s: s.last_error != "" and s.ready_workers == 2)
    assert (status.version, status.last_error) == (1, "models.a: no")
    assert pids(control) == before
    control.say(Apply(b"first", 30.0))
    control.status(lambda s: s.last_error == "")
    two.signal(signal.SIGTERM)
    two.wait()
    refused = [e for e in two.events() if e["event"] == "configuration refused by a worker"]
    assert refused[0]["level"] == "error"
    assert refused[0]["errors"] == ["models.a: no"]


def test_a_document_that_kills_workers_is_taken_back() -> None:
    with Supervised(workers=1) as supervised:
        control = supervised.control()
        pids(control)
        control.say(Apply(b"die", 30.0))
        status = control.status(lambda s: "workers end" in s.last_error and is_settled(s))
        assert status.version == 1
        assert supervised.get()[2] == 1


def test_what_control_rejects_is_told_and_changes_nothing(two: Supervised) -> None:
    control = two.control()
    control.say(Rejected(["gatewright.yaml:3: listen: expected HOST:PORT"]))
    status = control.status(lambda s: s.last_error != "")
    assert status.last_error == "gatewright.yaml:3: listen: expected HOST:PORT"
    assert is_settled(status)


@pytest.mark.parametrize("by_signal", [True, False])
def test_a_rolling_restart_replaces_every_worker_and_loses_no_request(two: Supervised, by_signal: bool) -> None:
    control = two.control()
    before = pids(control)
    slow: list[tuple[int, int, int]] = []
    threads = [threading.Thread(target=lambda: slow.append(two.get("/slow?0.7"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    with Load(two) as load:
        if by_signal:
            two.signal(signal.SIGUSR2)
        else:
            control.say(Roll())
        control.status(lambda s: not (before & pids_of(s)) and is_settled(s))
        count = len(load.answers)
        wait_until(lambda: len(load.answers) > count + 20, "requests go on")
    for thread in threads:
        thread.join()
    assert load.failures == []
    assert len(slow) == 8


def pids_of(status: Status) -> set[int]:
    return {pid for rows in workers(status).values() for _, pid in rows}


def test_a_replacement_that_does_not_get_ready_leaves_the_old_workers_in_place(two: Supervised) -> None:
    control = two.control()
    before = pids(control)
    control.say(Apply(b"hang", 30.0))  # a starting worker is given the newest document, and never answers
    control.say(Roll())
    status = control.status(lambda s: any(len(rows) == 2 for rows in workers(s).values()))
    (new,) = pids_of(status) - before
    kill(new)
    control.status(lambda s: pids_of(s) == before)
    assert two.get()[0] in before
    control.say(Apply(b"third", 30.0))
    assert pids(control, version=3) == before


def test_control_is_restarted_and_hears_everything_again_with_no_datagram_lost(two: Supervised) -> None:
    control = two.control()
    pids(control)
    two.get("/telemetry?2")
    assert control.read_telemetry() == "datagram 0"
    kill(control.pid)
    two.get("/telemetry?1")
    again = two.control()
    assert again.pid != control.pid
    pids(again)
    assert again.wait_for(lambda m: isinstance(m, Configure)) == Configure(1, b"first")
    assert [again.read_telemetry(), again.read_telemetry()] == ["datagram 1", "datagram 0"]
    assert two.get()[2] == 1


def test_services_are_restarted_and_end_with_the_gateway() -> None:
    with Supervised(services={"local-chat": SLEEPER}) as supervised:
        control = supervised.control()
        is_up = lambda s: any(row[0] == "local-chat" and row[1] == "ready" for row in s.children)  # noqa: E731
        first = next(row for row in control.status(is_up).children if row[0] == "local-chat")
        kill(first[2])
        again = control.status(lambda s: is_up(s) and ("local-chat", "ready", first[2], 0) not in s.children)
        second = next(row for row in again.children if row[0] == "local-chat")
        assert (second[2] != first[2], second[3]) == (True, 1)
        supervised.signal(signal.SIGTERM)
        assert supervised.wait() == 0
        assert not is_alive(second[2])


def test_a_service_that_leaves_its_channel_to_another_process_is_restarted_all_the_same() -> None:
    heir = "import subprocess; subprocess.Popen(['cat'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)"
    with Supervised(services={"parent": [sys.executable, "-c", heir]}) as supervised:
        supervised.control().status(lambda s: any(row[0] == "parent" and row[3] > 0 for row in s.children))
        supervised.signal(signal.SIGTERM)
        assert supervised.wait() == 0


def test_a_reader_of_the_log_who_stopped_does_not_keep_it_from_working_and_ending() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing), Supervised(stderr=writing) as supervised:
        control = supervised.control()
        (before,) = pids(control)
        os.set_blocking(writing, False)
        with contextlib.suppress(BlockingIOError):
            while os.write(writing, b"x" * 4096):
                pass
        os.set_blocking(writing, True)
        kill(before)
        control.status(lambda s: not is_settled(s))
        (after,) = pids(control)
        assert after != before
        supervised.signal(signal.SIGTERM)
        assert supervised.wait() == 0


def test_standard_output_is_left_to_the_access_log() -> None:
    with Supervised(services={"chatty": [sys.executable, "-c", "print('noise')"]}) as supervised:
        supervised.control().status(lambda s: any(row[0] == "chatty" and row[3] > 0 for row in s.children))
        supervised.signal(signal.SIGTERM)
        assert supervised.wait() == 0
        assert "noise" in supervised.log
        assert supervised.printed == ""


def test_a_service_that_cannot_be_started_does_not_stop_the_gateway() -> None:
    with Supervised(services={"absent": ["/no/such/program"]}) as supervised:
        status = supervised.control().status(lambda s: any(r[0] == "absent" and r[1] == "waiting" for r in s.children))
        assert status.wanted_workers == 1
        assert supervised.get()[2] == 1


def test_children_end_when_the_supervisor_is_killed(two: Supervised) -> None:
    control = two.control()
    children = pids(control) | {control.pid}
    kill(two.pid)
    wait_until(lambda: not any(map(is_alive, children)), "the children have ended")


def test_an_address_in_use_is_one_clear_line_and_exit_1(two: Supervised) -> None:
    second = Supervised(workers=2, listen=two.listen)
    assert second.wait() == 1
    (event,) = second.events()
    assert (
        event["event"]
        == f"cannot listen on {two.listen}: another process listens there; stop it, or choose another port"
    )
    third = Supervised(admin=two.admin)
    assert third.wait() == 1
    assert third.events()[0]["event"].startswith(f"cannot listen on {two.admin}: ")


def test_a_first_document_that_workers_refuse_is_exit_2() -> None:
    supervised = Supervised(document="refuse", workers=2)
    assert supervised.wait() == 2
    assert any(e.get("errors") == ["models.a: no"] for e in supervised.events())


def test_workers_that_never_start_end_the_gateway() -> None:
    supervised = Supervised(worker=[sys.executable, "-c", "raise SystemExit(3)"])
    assert supervised.wait() == 1
    events = supervised.events()
    assert {e["status"] for e in events if "status" in e} == {"exit 3"}
    assert any(e["event"] == "worker-1 failed 5 times before any worker was ready" for e in events)


def test_a_worker_program_that_is_absent_ends_the_gateway() -> None:
    supervised = Supervised(worker=["/no/such/program"])
    assert supervised.wait() == 1
    assert any(e["event"] == "cannot be started" for e in supervised.events())
