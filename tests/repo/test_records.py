"""Change fragments and decisions have their form."""

import re
from pathlib import Path

FRAGMENT = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*\.(added|changed|fixed|security)\.md")


def test_change_fragments_are_named_and_written_for_users(root: Path) -> None:
    for path in sorted((root / "changes").iterdir()):
        if path.name == "README.md":
            continue
        assert FRAGMENT.fullmatch(path.name), f"{path.name}: name it <slug>.<added|changed|fixed|security>.md"
        text = path.read_text()
        assert 20 < len(text) < 900, f"{path.name}: one to three sentences"
        assert not text.startswith("#"), f"{path.name}: no heading"
        assert "src/" not in text, f"{path.name}: users do not read the source tree"


def test_decisions_are_complete_and_numbered_without_gaps(root: Path) -> None:
    paths = sorted((root / "decisions").glob("*.md"))
    assert [path.name[:4] for path in paths] == [f"{number:04}" for number in range(1, len(paths) + 1)]
    for path in paths:
        text = path.read_text()
        assert re.match(rf"# {path.name[:4]} \S", text), path.name
        assert re.search(r"^- Status: (proposed|accepted|superseded by \d{4})$", text, re.MULTILINE), path.name
        assert re.search(r"^- Date: \d{4}-\d{2}-\d{2}$", text, re.MULTILINE), path.name
        for heading in ("Context", "Options", "Choice", "Consequences"):
            assert f"\n## {heading}\n" in text, f"{path.name} lacks {heading}"
