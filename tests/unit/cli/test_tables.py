import pytest

from gatewright.cli.tables import print_table

HEADERS, ROWS = ("model", "provider"), [("gpt-*", "openai"), ("[odd]", "nim")]


def test_in_a_pipe_cells_are_separated_by_tabs(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(HEADERS, ROWS)
    assert capsys.readouterr().out == "model\tprovider\ngpt-*\topenai\n[odd]\tnim\n"


@pytest.mark.parametrize("is_terminal", [False, True])
def test_no_cell_forges_another_or_steers_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_terminal: bool
) -> None:
    monkeypatch.setattr("gatewright.cli.tables.is_terminal", lambda: is_terminal)
    print_table(("MODEL", "COST"), [("a\tb\nc", "1"), ("\x1b[31m\u202eä\x9b", "2")])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [["MODEL", "COST"], [r"a\tb\nc", "1"], [r"\x1b[31m\u202eä\x9b", "2"]]


def test_on_a_terminal_columns_are_aligned_and_markup_is_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("gatewright.cli.tables.is_terminal", lambda: True)
    print_table(HEADERS, ROWS)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [["model", "provider"], ["gpt-*", "openai"], ["[odd]", "nim"]]
    assert len({line.find(cell) for line, cell in zip(lines, ("provider", "openai", "nim"), strict=True)}) == 1
