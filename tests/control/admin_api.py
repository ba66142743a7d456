"""An admin API over a database of its own, without a gateway around it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from litestar.testing import TestClient
from litestar.types import ASGIApp
from sqlalchemy import Engine

from gatewright.config.load import load
from gatewright.config.problems import ConfigError
from gatewright.control.actor import Actor
from gatewright.control.admin.app import build_admin
from gatewright.control.admin.services import AdminServices
from gatewright.control.admin_keys import AdminKeys, Role
from gatewright.control.budgets import BudgetPolicy, Budgets
from gatewright.control.configurations import DOCUMENT, Configurations, Files, Verdict
from gatewright.control.consumers import Consumers
from gatewright.control.kept import Policies
from gatewright.control.keys import Keys
from gatewright.store.database import open_database
from gatewright.store.tables import METADATA
from gatewright.telemetry.log import Log
from gatewright.testing.clock import FakeClock

SECRET = b"s" * 32
OPERATOR = Actor("test", "admin", "cli")
START = 1_780_000_000.0
GOOD = """\
providers: {up: {type: openai, key: "${env:KEY}"}}
models: {m: {targets: [{provider: up, model: x}]}}
"""


def check_document(data: bytes, budgets: Policies = ()) -> Verdict:
    """What the configuration's own checks find; `${env:KEY}` is there."""
    loaded = load([(DOCUMENT, data)], lambda scheme, name: "k" if (scheme, name) == ("env", "KEY") else None)
    return Verdict(tuple(loaded.errors), tuple(loaded.warnings))


def check_budget(policy: BudgetPolicy, active: str | None = None) -> Sequence[ConfigError]:
    """A budget needs dollars."""
    known = {"usd", "per", "by", "webhook"}
    errors = [ConfigError(f"config.{name}", "unknown setting") for name in policy.config if name not in known]
    usd = policy.config.get("usd")
    if not isinstance(usd, int | float) or isinstance(usd, bool) or usd <= 0:
        errors.append(ConfigError("config.usd", "expected a number above 0"))
    return errors


class AdminApi:
    """The API with a key of each role; `ask` sends one request."""

    def __init__(
        self,
        engine: Engine,
        *,
        read_files: Callable[[], Files] | None = None,
        allowed_hosts: tuple[str, ...] = (),
        with_keys: bool = True,
        monotonic: Callable[[], float] | None = None,
    ) -> None:
        self.engine = engine
        self.clock = FakeClock(START)
        self.log = io.StringIO()
        self.applied: list[bytes] = []
        self.refusal: list[str] = []
        self.admin_keys = AdminKeys(self.engine, SECRET, self.clock)
        self.services = AdminServices(
            engine=self.engine,
            admin_keys=self.admin_keys,
            keys=Keys(self.engine, SECRET, self.clock),
            consumers=Consumers(self.engine, self.clock),
            budgets=Budgets(self.engine, validate=check_budget, now=self.clock),
            configurations=Configurations(
                self.engine, check=check_document, apply=self._apply, read_files=read_files, now=self.clock
            ),
            log=Log("control", stream=self.log, as_json=True),
            monotonic=monotonic or self.clock,
            allowed_hosts=allowed_hosts,
        )
        self.app: ASGIApp = build_admin(self.services)
        self._first_app = self.app
        self.keys: dict[Role, str] = {}
        if with_keys:
            self.make_keys()
        self.client = TestClient(self.app, base_url="http://127.0.0.1:8081")

    @classmethod
    @contextmanager
    def on_sqlite(cls, directory: Path, **options: Any) -> Iterator[AdminApi]:
        """One on a database file of its own."""
        engine = open_database(None, directory, statement_timeout_s=0.2)
        METADATA.create_all(engine)
        api = cls(engine, **options)
        with api.client:
            yield api
        engine.dispose()

    def make_keys(self) -> None:
        """A key of each role."""
        self.keys = {role: self.admin_keys.create(OPERATOR, role.value, role)[1] for role in Role}

    def begin_anew(self) -> None:
        """As it was at first, but later; making another takes much longer."""
        with self.engine.begin() as connection:
            for table in METADATA.sorted_tables:
                connection.execute(table.delete())
        self.clock.advance(1_000)
        self.applied.clear()
        self.refusal = []
        self.use(self._first_app)
        self.make_keys()

    def use(self, app: ASGIApp) -> None:
        """Ask another application from now on."""
        self.app = app
        self.client.app = app

    def _apply(self, document: bytes) -> list[str]:
        if not self.refusal:
            self.applied.append(document)
        return self.refusal

    def ask(
        self, method: str, path: str, body: Any = None, *, role: Role | None = Role.ADMIN, **headers: str
    ) -> tuple[int, Any]:
        """The status and the body, as JSON where it is that."""
        answer = self.send(method, path, body, role=role, **headers)
        return answer.status_code, msgspec.json.decode(answer.content) if answer.content else None

    def send(self, method: str, path: str, body: Any = None, *, role: Role | None = Role.ADMIN, **headers: str) -> Any:
        """The whole answer. Header names are written with underscores."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if role is not None:
            sent.setdefault("authorization", f"Bearer {self.keys[role]}")
        content = body if isinstance(body, bytes | None) else msgspec.json.encode(body)
        if content is not None:
            sent.setdefault("content-type", "application/json")
        return self.client.request(method, f"/admin/v1{path}", content=content, headers=sent)
