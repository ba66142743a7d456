"""What the admin API asks before it changes anything: whether a configuration, or a budget, could be served here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from gatewright.cli.sources import FileSource, Resolver
from gatewright.config.documents import Gateway
from gatewright.config.load import load
from gatewright.config.problems import ConfigError, InvalidConfig
from gatewright.control.budgets import BudgetPolicy
from gatewright.control.configurations import DOCUMENT, Files, Verdict
from gatewright.control.managed_sources import budgets_file

Check = Callable[[Gateway], Gateway]
"""The trial build of a document. Raises InvalidConfig with every error."""
_BUDGET = "budget.json"
"""Stands for the file of the budget that is checked, in its errors."""


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

    def document(self, data: bytes) -> Verdict:
        """Everything there is to say about a configuration, with the managed budgets added to it."""
        files = [(DOCUMENT, data)]
        budgets = budgets_file(self._state)
        if kept := _read(budgets):
            files.append((str(budgets), kept))
        return self._judge(files)

    def budget(self, policy: BudgetPolicy) -> list[ConfigError]:
        """Everything that is wrong with a budget, among the policies that are served."""
        managed = budgets_file(self._state)
        files = [*self.read_files()]
        kept = _read(managed)
        others = msgspec.json.decode(kept)["policies"] if kept else []
        policies = [other for other in others if other.get("name") != policy.name]
        mine = {"filter": "budget", **msgspec.to_builtins(policy)}
        files.append((str(managed), msgspec.json.encode({"policies": policies})))
        files.append((_BUDGET, msgspec.json.encode({"policies": [mine]})))
        return list(self._judge(files).errors)

    def read_files(self) -> Files:
        """The files that are served, budgets of the admin API left out."""
        kept = budgets_file(self._state)
        return [(str(path), data) for path in self._files() if path != kept and (data := _read(path)) is not None]

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


def _read(path: Path) -> bytes | None:
    """A file's bytes; None when it is not there, or not any more."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
