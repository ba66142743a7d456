"""A process is awaited, killed and reaped, with and without a pidfd."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from gatewright.server.process import Process

pytestmark = pytest.mark.sockets

SLEEP = (sys.executable, "-S", "-c", "import time; time.sleep(60)")


def start(*argv: str) -> Process:
    return Process(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=())


@pytest.fixture(params=["pidfd", "polled"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(pid: int) -> int:
        raise PermissionError

    if request.param == "polled":
        monkeypatch.setattr(os, "pidfd_open", forbidden)


@pytest.mark.usefixtures("kernel")
def test_the_exit_status_is_known_after_the_wait() -> None:
    process = start(sys.executable, "-S", "-c", "raise SystemExit(7)")
    assert process.returncode is None
    asyncio.run(process.wait())
    assert process.returncode == 7
    asyncio.run(process.wait())


@pytest.mark.usefixtures("kernel")
def test_a_killed_process_is_reaped() -> None:
    async def run() -> Process:
        process = start(*SLEEP)
        waiting = asyncio.ensure_future(process.wait())
        await asyncio.sleep(0)
        process.kill()
        await waiting
        process.kill()
        return process

    process = asyncio.run(run())
    assert process.returncode == -9
    with pytest.raises(ChildProcessError):
        os.waitpid(process.pid, 0)


def test_it_has_a_group_of_its_own() -> None:
    async def run() -> None:
        process = start(*SLEEP)
        assert os.getpgid(process.pid) == process.pid != os.getpgrp()
        process.kill()
        await process.wait()

    asyncio.run(run())


def test_a_program_that_is_absent_cannot_be_started() -> None:
    with pytest.raises(FileNotFoundError):
        start("/no/such/program")
