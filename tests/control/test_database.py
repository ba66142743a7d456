"""The database by the commands of the installed package, from a folder that has nothing in it."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from usage_rows import fill, random_rows

from gatewright.control.usage import UsageQuery, report_usage
from gatewright.store.database import migrate, open_database

pytestmark = pytest.mark.sockets


def gatewright(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from gatewright.cli.main import run; sys.exit(run(sys.argv[1:]))"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_commands_migrate_and_read_postgresql(postgresql_url: str, tmp_path: Path) -> None:
    (tmp_path / "gatewright.yaml").write_text('database: {url: "${env:LEDGER}"}\n')
    config = ["-c", "gatewright.yaml"]
    assert gatewright(tmp_path, "database", "status", *config, LEDGER=postgresql_url).returncode == 1
    # As replicas that start together would.
    with ThreadPoolExecutor(3) as pool:
        done = list(
            pool.map(lambda _: gatewright(tmp_path, "database", "migrate", *config, LEDGER=postgresql_url), range(3))
        )
    assert [each.returncode for each in done] == [0, 0, 0], [each.stderr for each in done]
    assert gatewright(tmp_path, "database", "status", *config, LEDGER=postgresql_url).returncode == 0
    engine = open_database(postgresql_url, tmp_path)
    fill(engine, random_rows(3, 50))
    expected = report_usage(engine, UsageQuery()).total
    engine.dispose()
    told = gatewright(tmp_path, "usage", "--since", "2026-01-01", "--json", *config, LEDGER=postgresql_url)
    assert told.returncode == 0, told.stderr
    assert msgspec.json.decode(told.stdout)["total"] == msgspec.to_builtins(expected)
    away = gatewright(tmp_path, "usage", *config, LEDGER=f"postgresql://u:hunter2@/x?host={tmp_path}")
    assert away.returncode == 1
    assert "the database cannot be used" in away.stderr
    assert "hunter2" not in away.stderr + away.stdout


def test_a_report_reads_what_another_process_is_writing(tmp_path: Path) -> None:
    engine = open_database(None, tmp_path)
    migrate(engine)
    fill(engine, random_rows(4, 50))
    before = report_usage(engine, UsageQuery()).total
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE usage_days SET exchanges = exchanges + 1")
        connection.exec_driver_sql("UPDATE usage_hours SET exchanges = exchanges + 1")
        told = gatewright(tmp_path, "usage", "--by", "", "--since", "2026-01-01", "--json", "--state", str(tmp_path))
    assert told.returncode == 0, told.stderr
    assert msgspec.json.decode(told.stdout)["total"] == msgspec.to_builtins(before)
    engine.dispose()
