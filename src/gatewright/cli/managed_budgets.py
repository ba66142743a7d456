"""Serving in spite of managed budgets that do not fit what is served beside them.

The admin API keeps no budget that does not fit. But files change while a gateway is down, and so does its environment:
then it starts without the budgets that do not fit, says so, and its admin API is there to mend or remove them. While it
runs, files that do not fit the budgets it serves are refused like anything else that is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence

from gatewright.cli.sources import FileSource
from gatewright.config.load import Loaded
from gatewright.config.problems import ConfigError, InvalidConfig

Check = Callable[[Loaded], object]
"""Raises InvalidConfig with every error of what was loaded."""
Unfit = dict[str, tuple[ConfigError, ...]]
"""Budgets by name, with the reasons."""


def find_unfit(source: FileSource, check: Check) -> Unfit:
    """The managed budgets without which the source can be served; none when all of it can be.

    Raises InvalidConfig with every error when something else is wrong.
    """
    errors = _errors_without(source, check, ())
    if not errors:
        return {}
    names = source.budget_names()
    if not names or _errors_without(source, check, names):
        raise InvalidConfig(errors)
    unfit: Unfit = {}

    def add(fitting: Sequence[str], more: Sequence[str]) -> list[str]:
        """Those of both that fit, where all of the first do. Halved, since mostly one of many does not."""
        wanted = {*fitting, *more}
        wrong = _errors_without(source, check, [name for name in names if name not in wanted])
        if not wrong:
            return [*fitting, *more]
        if len(more) == 1:
            unfit[more[0]] = wrong
            return list(fitting)
        half = len(more) // 2
        return add(add(fitting, more[:half]), more[half:])

    add((), names)
    return unfit


class LenientSource:
    """A source of which some managed budgets are left out, for as long as they do not fit: those that the gateway was
    started without. What fits once is not left out any more."""

    def __init__(self, source: FileSource, check: Check, unserved: Collection[str]) -> None:
        self._source, self._check, self._unserved = source, check, set(unserved)

    def fingerprint(self) -> Hashable:
        """Changes whenever a file that takes part may have changed, came or went. Never raises."""
        return self._source.fingerprint()

    def load(self) -> Loaded:
        """Read and check everything. Raises InvalidConfig when it cannot be served."""
        if not self._unserved:
            return self._source.load()
        unfit = find_unfit(self._source, self._check)
        if not unfit.keys() <= self._unserved:
            return self._source.load()  # and have all that is wrong told
        self._unserved = set(unfit)
        return self._source.load(without=unfit)


def _errors_without(source: FileSource, check: Check, names: Collection[str]) -> tuple[ConfigError, ...]:
    try:
        check(source.load(without=names))
    except InvalidConfig as refused:
        return refused.errors
    return ()
