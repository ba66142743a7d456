"""One operating-system process, awaited through its pidfd: no thread and no signal handler per child.

asyncio's own subprocesses would do, but on Python 3.11 each keeps a thread in waitpid, and the supervisor should not
end among threads that are still ending.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Final

_POLL_S: Final = 0.05
"""Between two looks at a child where the kernel has no pidfd (before Linux 5.3, or forbidden in a container)."""


class Process:
    """A started process; `wait` reaps it, so somebody has to."""

    def __init__(self, argv: Sequence[str], *, stdin: int, stdout: int | None, pass_fds: Collection[int]) -> None:
        """Start it in a process group of its own, so that Ctrl-C on the terminal is not for it. Raises OSError."""
        self._popen = subprocess.Popen(argv, stdin=stdin, stdout=stdout, pass_fds=pass_fds, process_group=0)
        self.pid = self._popen.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal; None until `wait` has seen it."""
        return self._popen.returncode

    def kill(self) -> None:
        """SIGKILL; harmless when it has ended, since it is not reaped before that is known."""
        with suppress(ProcessLookupError):
            self._popen.kill()

    async def wait(self) -> None:
        """Return when it has ended, at once if that is known already."""
        if self._popen.poll() is not None:
            return
        try:
            pidfd = os.pidfd_open(self.pid)
        except OSError:
            while self._popen.poll() is None:  # noqa: ASYNC110 - nothing tells of its end here
                await asyncio.sleep(_POLL_S)
            return
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(pidfd, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(pidfd)
            os.close(pidfd)
        self._popen.wait()
