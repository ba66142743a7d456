"""What the admin API asks before it changes anything: whether a configuration, or a budget, could be served here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from gatewright.cli.sources import FileSource, Resolver
from gatewright.config.documents import Gateway
from gatewright.config.load import load
from gatewright.config.problems import ConfigError, InvalidConfig
from gatewright.control.budgets import BudgetPolicy
from gatewright.control.configurations import DOCUMENT, Files, Verdict
from gatewright.control.kept import Policies
from gatewright.control.managed_sources import budgets_file, configuration_file, default_file, placed_in_budget

Check = Callable[[Gateway], Gateway]
"""The trial build of a document. Raises InvalidConfig with every error."""
_BUDGET: Final = "kept budget {}.json"
"""Stands for the file of a budget. It comes behind `DOCUMENT`, so that the places in that one stay what they are."""


class Checks:
    """Checks against the files that are served now. `paths` gives them; `overrides` are those of the command line."""

    def __init__(
        self,
        state: Path,
        paths: Callable[[], list[Path]],
        environment: Mapping[str, str],
        check: Check,
        overrides: Mapping[str, str],
    ) -> None:
        self._state, self._paths, self._environment, self._check = state, paths, environment, check
        self._overrides = overrides

    def document(self, data: bytes, budgets: Policies) -> Verdict:
        """Everything there is to say about a configuration with the managed budgets added to it."""
        files = {_BUDGET.format(budget["name"]): budget for budget in budgets}
        texts = [(name, msgspec.json.encode({"policies": [budget]})) for name, budget in files.items()]
        verdict = self._judge([(DOCUMENT, data), *texts])
        errors = [
            _of_budget(error, files[error.file]["name"]) if error.file in files else error for error in verdict.errors
        ]
        return Verdict(tuple(errors), verdict.warnings)

    def budget(self, policy: BudgetPolicy, active: str | None) -> list[ConfigError]:
        """Everything that is wrong with a budget beside the files that are served. Where there are none, `active` is
        the configuration."""
        files = self.read_files()
        if active is not None and self._is_managed():
            files = [(DOCUMENT, active.encode())]
        mine = msgspec.json.encode({"policies": [{"filter": "budget", **msgspec.to_builtins(policy)}]})
        return list(self._judge([*files, (_BUDGET.format(policy.name), mine)]).errors)

    def read_files(self) -> Files:
        """The files that are served, budgets of the admin API left out."""
        kept = budgets_file(self._state)
        return [(str(path), data) for path in self._files() if path != kept and (data := _read(path)) is not None]

    def _is_managed(self) -> bool:
        """Whether the gateway was started without files."""
        own = {configuration_file(self._state), default_file(self._state)}
        return not own.isdisjoint(self._paths())

    def _files(self) -> list[Path]:
        return FileSource(self._paths, environment=self._environment).files()

    def _judge(self, files: Files) -> Verdict:
        loaded = load(files, Resolver(self._environment), overrides=self._overrides)
        if loaded.document is None:
            return Verdict(tuple(loaded.errors))
        try:
            self._check(loaded.document)
        except InvalidConfig as refused:
            return Verdict(tuple(loaded.place(refused.errors)))
        return Verdict((), tuple(loaded.warnings))


def _of_budget(error: ConfigError, name: str) -> ConfigError:
    """An error of a budget among those of a document, which holds no such place."""
    return ConfigError("", f"the budget `{name}` that is kept here does not fit: {placed_in_budget(error)}")


def _read(path: Path) -> bytes | None:
    """A file's bytes; None when it is not there, or not any more."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
