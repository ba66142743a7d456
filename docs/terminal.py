"""Runs a command on a terminal of its own and draws what it shows as an SVG, for the README and the pages.

    python docs/terminal.py docs/assets/demo.svg "gatewright demo" -- .venv/bin/gatewright demo

A command that does not end by itself is interrupted with Ctrl-C after `--seconds`.
"""

from __future__ import annotations

import argparse
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from fcntl import ioctl
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

ROWS: Final = 60
UNDRAWABLE: Final = re.compile(r"\x1b\[[?0-9;]*[A-HJKSTfhlnsu]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[=>78]")
"""Cursor movements, modes and titles: the picture is of finished lines."""


def capture(command: list[str], columns: int, seconds: float) -> str:
    """Everything the command writes to its terminal until it ends."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(command[0], command)
    ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
    shown, deadline, interrupted = b"", time.monotonic() + seconds, False
    while True:
        ready, _, _ = select.select([terminal], [], [], 0.1)
        if ready:
            try:
                piece = os.read(terminal, 65536)
            except OSError:  # the way Linux says that the other side of a terminal is closed
                break
            if not piece:
                break
            shown += b"" if interrupted else piece
        elif not interrupted and time.monotonic() > deadline:
            os.kill(pid, signal.SIGINT)
            interrupted = True
    os.waitpid(pid, 0)
    return shown.decode(errors="replace")


def finished_lines(shown: str) -> str:
    """The text as it stands in the end: of a line that was drawn several times, the last version."""
    plain = UNDRAWABLE.sub("", shown).replace("\r\n", "\n")
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in plain.split("\n")).strip("\n")


def main() -> None:
    """Read the command line and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("title")
    parser.add_argument("--columns", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=90.0)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    text = Text.from_ansi(finished_lines(capture(options.command, options.columns, options.seconds)))
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=options.columns, file=nowhere)
        console.print(Text(f"$ {options.title}", style="bold"))
        console.print(text, highlight=False)
        svg = console.export_svg(title=options.title, font_aspect_ratio=0.61)
    # The picture must look the same without a network: the reader's own monospace font instead of one from elsewhere.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL).replace("Fira Code", "ui-monospace")
    options.output.write_text(svg)
    sys.stdout.write(f"wrote {options.output}\n")


if __name__ == "__main__":
    main()
