"""What holds for every test: nothing of the developer's own environment takes part, and hypothesis has no clock.

And the databases: `database` is an empty, migrated one, a test that takes it runs on SQLite and on PostgreSQL.
"""

import atexit
import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from sqlalchemy import Engine

# Tests replace parts of the modules that they import, which machine code would not notice; what they start as a process
# of its own is compiled, where it was.
os.environ["GATEWRIGHT_INTERPRETED"] = "1"

from gatewright.store.database import migrate, open_database

TOLD = "GATEWRIGHT_TRUTH"  # where recorded traffic is: a setting of the tests, not of what they start
FOREIGN = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "OPENAI_BASE_URL", "OPENAI_ORG_ID")

for name in list(os.environ):
    if name.upper() in FOREIGN or name.endswith("_API_KEY") or (name.startswith("GATEWRIGHT_") and name != TOLD):
        del os.environ[name]

# What tests start, and is not told otherwise, keeps its state here instead of in the developer's home.
state = tempfile.mkdtemp(prefix="gatewright-tests-")
os.environ["XDG_STATE_HOME"] = state
atexit.register(shutil.rmtree, state, ignore_errors=True)

# A slow machine is no failure of the code; how much is tried is each test's own choice.
settings.register_profile("gatewright", deadline=None, print_blob=True)
settings.load_profile("gatewright")

NO_POSTGRESQL = pytest.StashKey[str]()


@pytest.fixture(scope="session")
def postgresql(pytestconfig: pytest.Config) -> Iterator[Any]:
    """A real PostgreSQL (`tests.postgresql.Server`). Where none can be started the run says so at its end."""
    try:
        from tests.postgresql import CannotStart, running
    except ImportError as error:
        _skip_postgresql(pytestconfig, str(error))
    try:
        with running() as server:
            yield server
    except CannotStart as error:
        _skip_postgresql(pytestconfig, str(error))


@pytest.fixture
def postgresql_url(postgresql: Any) -> Iterator[str]:
    """An empty database in it."""
    url = postgresql.create()
    yield url
    postgresql.drop(url)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.sockets)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'gatewright.db'}"
    return str(request.getfixturevalue("postgresql_url"))


@pytest.fixture
def database(database_url: str, tmp_path: Path) -> Iterator[Engine]:
    """An empty, migrated database, once of each kind."""
    engine = open_database(database_url, tmp_path)
    migrate(engine)
    yield engine
    engine.dispose()


def _skip_postgresql(config: pytest.Config, reason: str) -> None:
    config.stash[NO_POSTGRESQL] = reason
    pytest.skip(f"no PostgreSQL: {reason}")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if reason := config.stash.get(NO_POSTGRESQL, ""):
        terminalreporter.section("PostgreSQL", sep="!")
        terminalreporter.write_line(f"WARNING: the tests on PostgreSQL were SKIPPED: {reason}", yellow=True)


def pytest_collection_finish() -> None:
    """What was collected stays to the end: thirty thousand cases, a gigabyte. Left to the collector, it would stop the
    upstreams and clients of this process for more than a second now and then, which is longer than gateways wait."""
    gc.collect()
    gc.freeze()
