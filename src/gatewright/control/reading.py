"""Reading the configuration again: when it changed or somebody asked, and only if all of it is right.

Everything that a worker would find wrong is found here first, by a trial build, so that a bad document never leaves
this process. What cannot change while the gateway runs is pointed out.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final, Protocol

from gatewright.config.documents import Gateway
from gatewright.config.load import Loaded
from gatewright.config.problems import ConfigError, InvalidConfig
from gatewright.config.transport import encode
from gatewright.core.messages import Apply, Rejected
from gatewright.telemetry.log import Log

FIXED: Final = ("listen", "admin")
"""Settings whose change takes effect with the next start: the sockets are bound for the gateway's whole life."""
_OPENED: Final = ("counters", "database")
"""Sections that the processes read once, when they open what these name."""


class Source(Protocol):
    """Where the configuration comes from."""

    def fingerprint(self) -> Hashable:
        """Something cheap that differs whenever what `load` would read may differ. Never raises."""
        ...

    def load(self) -> Loaded:
        """Read it. Raises InvalidConfig when there is nothing to read."""
        ...


class Reading:
    """Reads a source; `check` is the trial build, and what it returns is what is served."""

    def __init__(self, source: Source, check: Callable[[Gateway], Gateway], log: Log) -> None:
        self._source, self._check, self._log = source, check, log
        self._seen: Hashable = None
        self._read: Hashable = None
        self._warned: set[ConfigError] = set()
        self._begun: Gateway | None = None
        self.served: Gateway | None = None
        """What the workers run, as far as is known."""

    def is_changed(self) -> bool:
        """Whether the source differs from what was read last, and has come to rest: ask about once a second.

        A file that is being written changes between two questions; it is read when it no longer does.
        """
        now = self._source.fingerprint()
        at_rest, self._seen = now == self._seen, now
        return at_rest and now != self._read

    def read(self) -> Apply | Rejected:
        """Read and check it now; nothing changes by that alone. Large documents take a while: call it in a thread."""
        # Taken before the files are read: what changes meanwhile is then read once more.
        self._seen = self._read = self._source.fingerprint()
        try:
            loaded = self._source.load()
        except InvalidConfig as error:
            return Rejected([str(problem) for problem in error.errors])
        if loaded.document is None:
            return Rejected([str(problem) for problem in loaded.errors])
        try:
            document = self._check(loaded.document)
        except InvalidConfig as error:
            return Rejected([str(problem) for problem in loaded.place(error.errors)])
        self._warn(loaded, document)
        return Apply(encode(document), document.timeouts.drain_s)

    def _warn(self, loaded: Loaded, document: Gateway) -> None:
        """Point out, once each, what is hardly meant or has no effect."""
        warnings = set(loaded.warnings)
        self._begun = self._begun or self.served
        if self._begun is not None:
            changed = [name for name in _OPENED if getattr(document, name) != getattr(self._begun, name)]
            message = "has changed, which counts when the gateway is started again"
            warnings.update(loaded.place([ConfigError(name, message) for name in changed]))
        if self.served is not None:
            for name in FIXED:
                new, old = getattr(document, name), getattr(self.served, name)
                if new != old:
                    message = f"is now {new}, but {old} is used until the gateway is started again"
                    warnings.update(loaded.place([ConfigError(name, message)]))
        for warning in sorted(warnings - self._warned, key=str):
            self._log.warning(str(warning))
        self._warned = warnings
