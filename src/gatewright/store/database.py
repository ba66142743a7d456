"""The control plane's database: SQLite in the state directory by default, PostgreSQL by URL.

Errors never hold the values of a statement, which are keys' digests and clients' names: they are logged and shown.

Write in `engine.begin()`, read in `reading(engine)`. On SQLite the former takes the write lock at once, so that a
transaction which reads first and then writes can never be refused half-way because another wrote in between; the
latter takes none and sees one state of the database, whoever writes meanwhile.

Several processes may call `migrate` at the same time: one migrates, the others wait for it and find it done.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from msgspec import Struct
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DatabaseError

FILE: Final = "gatewright.db"
"""The name of the SQLite database in a state directory."""
VERSION_TABLE: Final = "gatewright_version"
"""Says which migration the database is at. Not Alembic's default name, which another application in the same PostgreSQL
schema may have taken."""
_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_MIGRATION_LOCK: Final = 0x6761746577726967
"""PostgreSQL's advisory lock for migrations: the letters `gatewrig` as a number, so hardly anybody else's."""
_WAL_RETRY_S: Final = 0.02
_READS: Final = "gatewright_reads"


class UnusableDatabase(Exception):
    """The database cannot be used as it is; the message says why and what to do, and never holds a password."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Status(Struct, frozen=True):
    """How far a database is migrated."""

    at: str | None
    """The migration it is at; None for an empty database."""
    newest: str
    """The last migration this version knows."""

    @property
    def is_current(self) -> bool:
        return self.at == self.newest


def open_database(
    url: str | None,
    state: Path,
    *,
    pool_size: int = 5,
    statement_timeout_s: float = 30.0,
    read_only: bool = False,
) -> Engine:
    """The engine for a URL, or for the SQLite file of a state directory. Nothing is connected or created yet.

    With `read_only` nothing can be written through it. Raises UnusableDatabase for a URL that is none, for a missing
    driver, and for a file that is to be read but does not exist.
    """
    if url is None:
        return _open_sqlite(state / FILE, pool_size, statement_timeout_s, read_only)
    parsed = _parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _open_sqlite(Path(parsed.database or ""), pool_size, statement_timeout_s, read_only)
    return _open_postgresql(parsed, pool_size, statement_timeout_s, read_only)


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection that sees one state of the database and holds up no writer; what is written through it is lost."""
    with engine.connect() as plain:
        connection = plain.execution_options(**_reading_options(engine))
        with connection.begin() as transaction:
            yield connection
            transaction.rollback()


def migrate(engine: Engine) -> None:
    """Bring the database to the newest migration, under a lock that all replicas share.

    Raises UnusableDatabase when it was made by a newer version, or cannot be reached.
    """
    with _reached(), engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            # Waiting for another replica's migration is no runaway statement, and neither is a large one.
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
        at = _status(connection)
        if at.is_current:
            return
        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def status(engine: Engine) -> Status:
    """How far the database is migrated. Raises UnusableDatabase when a newer version did it, or it is not there."""
    with _reached(), reading(engine) as connection:
        return _status(connection)


@contextmanager
def _reached() -> Iterator[None]:
    try:
        yield
    except DatabaseError as error:
        raise UnusableDatabase(f"the database cannot be used: {' '.join(str(error.orig).split())}") from None


def _status(connection: Connection) -> Status:
    script = ScriptDirectory(str(_MIGRATIONS))
    newest = script.get_current_head()
    assert newest is not None
    at = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()
    if at is not None and at not in {revision.revision for revision in script.walk_revisions()}:
        raise UnusableDatabase(
            f"the database is at migration {at}, which this gatewright does not know (its newest is {newest})",
            hint="a newer gatewright has used this database: run that one, or go back to a backup from before",
        )
    return Status(at, newest)


def _parse_url(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # Not chained: SQLAlchemy's message repeats the text, and with it the password.
        raise UnusableDatabase("the database URL is none; it is written postgresql://USER:PASSWORD@HOST/NAME") from None
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        if find_spec("psycopg") is None:
            raise UnusableDatabase(
                "PostgreSQL needs a driver that is not installed", hint="pip install 'gatewright[postgres]'"
            )
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername == "sqlite" and parsed.database not in (None, "", ":memory:"):
        return parsed
    raise UnusableDatabase(f"a database URL begins with postgresql://, not with {parsed.drivername}://")


def _open_sqlite(file: Path, pool_size: int, timeout_s: float, read_only: bool) -> Engine:
    if read_only and not file.exists():
        raise UnusableDatabase(
            f"there is no database at {file}", hint="a gateway makes it when it first runs; name its place with --state"
        )
    address = f"file:{_quoted(file.absolute())}"
    engine = create_engine(
        URL.create("sqlite", database=address, query={"uri": "true", "mode": "ro" if read_only else "rwc"}),
        connect_args={"timeout": timeout_s},
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=timeout_s,
        hide_parameters=True,
    )

    @event.listens_for(engine, "do_connect")
    def create(*_: Any) -> None:
        if not read_only:
            _create_private(file)

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _: Any) -> None:
        # Python's driver would begin transactions by itself, late and not before every statement.
        connection.isolation_level = None
        pragmas = ["foreign_keys = ON", "synchronous = NORMAL", "temp_store = MEMORY", "cache_size = -32768"]
        if not read_only:
            _use_wal(connection, timeout_s)
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        reads = read_only or connection.get_execution_options().get(_READS)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def _create_private(file: Path) -> None:
    """Make an empty database that only its owner may read, before SQLite makes one that everybody may.

    Its owner is the directory's also when root makes it; SQLite does the same with the files beside it.
    """
    try:
        fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return
    except OSError as error:
        raise UnusableDatabase(f"cannot make the database {file}: {error.strerror}") from None
    try:
        directory = file.parent.stat()
        if os.geteuid() == 0 and directory.st_uid != 0:
            os.fchown(fd, directory.st_uid, directory.st_gid)
    finally:
        os.close(fd)


def _use_wal(connection: Any, timeout_s: float) -> None:
    """Switch to the write-ahead log, which a file is once and for all.

    Of those that do it at the same time SQLite refuses all but one at once, without the wait it grants statements.
    """
    until = time.monotonic() + timeout_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").close()
        except sqlite3.OperationalError:
            if time.monotonic() >= until:
                raise
            time.sleep(_WAL_RETRY_S)
        else:
            return


def _open_postgresql(url: URL, pool_size: int, timeout_s: float, read_only: bool) -> Engine:
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=timeout_s,
        pool_pre_ping=True,
        connect_args={"connect_timeout": 5, "application_name": "gatewright"} | dict(url.query),
        hide_parameters=True,
        execution_options={"postgresql_readonly": True} if read_only else {},
    )
    settings = {"statement_timeout": f"{round(timeout_s * 1000)}", "lock_timeout": f"{round(timeout_s * 1000)}"}

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _: Any) -> None:
        # Statements instead of start-up options, which poolers such as PgBouncer refuse.
        before, connection.autocommit = connection.autocommit, True
        for name, value in settings.items():
            connection.execute(f"SET {name} = {value}").close()
        connection.autocommit = before

    return engine


def _reading_options(engine: Engine) -> dict[str, Any]:
    if engine.dialect.name == "sqlite":
        return {_READS: True}
    return {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}


def _quoted(file: Path) -> str:
    """A path as SQLite's URIs want it (https://www.sqlite.org/uri.html)."""
    return str(file).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
