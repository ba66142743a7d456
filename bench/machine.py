"""The machine of a run, and what must be installed on it."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from bench.processes import find_program
from bench.upstream import open_files

ROOT = Path(__file__).parent.parent
NEEDED = {"nginx": "nginx-light", "haproxy": "haproxy", "wrk": "wrk", "cc": "gcc libc6-dev", "taskset": "util-linux"}


def missing_programs() -> list[str]:
    """The Debian packages to install before a run, each with the program it is for."""
    return [
        f"{program} (Debian package: {package})" for program, package in NEEDED.items() if not find_program(program)
    ]


def _first(path: str, key: str) -> str:
    for line in Path(path).read_text().splitlines():
        if line.startswith(key):
            return line.partition(":")[2].strip()
    return "unknown"


def _run(*argv: str) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=ROOT)
    except OSError:
        return ""
    return (done.stdout + done.stderr).strip()


def _commit() -> str:
    commit = _run("git", "rev-parse", "--short", "HEAD")
    changed = _run("git", "status", "--porcelain", "--untracked-files=no", "src")
    return commit + (" with changes" if changed else "")


def describe(gateway_core: int, load_core: int, nice: int) -> dict[str, str]:
    """Everything that a reader needs to judge the numbers, as label and text."""
    mhz = _first("/proc/cpuinfo", "cpu MHz")
    kilobytes = int(_first("/proc/meminfo", "MemTotal").split()[0])
    wrk = _run(find_program("wrk") or "wrk", "-v").splitlines()
    return {
        "cpu": f"{_first('/proc/cpuinfo', 'model name')}, {mhz} MHz",
        "cores": f"{os.cpu_count()}; gateway on {gateway_core}, upstream and load on {load_core}",
        "virtual": "yes" if "hypervisor" in _first("/proc/cpuinfo", "flags") else "no",
        "memory": f"{kilobytes / 1024 / 1024:.1f} GiB",
        "kernel": platform.release(),
        "system": _first_release(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "uvloop": _installed("uvloop"),
        "httptools": _installed("httptools"),
        "msgspec": _installed("msgspec"),
        "wrk": wrk[0].split(" [")[0] if wrk else "unknown",
        "open files": str(open_files()),
        "priority": f"nice {nice}" if nice else "normal",
        "commit": _commit(),
    }


def _installed(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"


def _first_release() -> str:
    for line in Path("/etc/os-release").read_text().splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return platform.system()
