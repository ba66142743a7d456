"""The plots of a run, as SVG written by hand: bars with their numbers, legible on light and dark pages alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from bench.results import FIGURES, Run

WIDTH, LABEL, VALUE, BAR, GAP, HEAD = 860, 250, 90, 18, 8, 34
STYLE = """
text { font: 13px system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #1f2328; }
.title { font-size: 16px; font-weight: 600; }
.sub { fill: #59636e; }
.num { font-variant-numeric: tabular-nums; }
.own { fill: #0b7a75; } .proxy { fill: #8c959f; } .peer { fill: #b35900; } .second { opacity: .55; }
.axis { stroke: #d1d9e0; } .hold { stroke: #cf222e; stroke-width: 1.5; stroke-dasharray: 4 3; }
.gap { fill: #ffffff; } .line { fill: none; stroke: #0b7a75; stroke-width: 2; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; } .sub { fill: #9198a1; } .own { fill: #2fb5ac; } .proxy { fill: #7d8590; }
  .peer { fill: #e0883e; } .axis { stroke: #3d444d; } .gap { fill: #0d1117; } .hold { stroke: #ff7b72; }
  .line { stroke: #2fb5ac; }
}
"""


@dataclass(frozen=True)
class Bar:
    """One bar: its label (empty for the second bar of a pair), value and colour."""

    label: str
    value: float
    kind: str
    text: str


@dataclass(frozen=True)
class Panel:
    """A group of bars on one scale; `hold` draws the promise as a line across them, `cut` ends bars beyond it."""

    title: str
    bars: list[Bar]
    hold: float | None = None
    cut: float | None = None


def _text(x: float, y: float, content: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(content)}</text>'


def _panel(panel: Panel, top: float) -> tuple[list[str], float]:
    """The elements of a panel that begins at `top`, and where the next may begin."""
    drawn = [_text(0, top + 14, panel.title, "sub")]
    y = top + 24
    room = WIDTH - LABEL - VALUE
    largest = max([bar.value for bar in panel.bars] + [panel.hold or 0.0]) or 1.0
    largest = min(largest, panel.cut or largest)
    first = y
    for bar in panel.bars:
        length = max(1.5, room * min(max(bar.value, 0.0), largest) / largest)
        drawn.append(_text(LABEL - 10, y + BAR - 5, bar.label, "", "end"))
        drawn.append(f'<rect x="{LABEL}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2" class="{bar.kind}"/>')
        if bar.value > largest:
            x = LABEL + length - 40
            drawn.append(f'<path d="M{x} {y - 2}l6 {BAR + 4}h5l-6 -{BAR + 4}z" class="gap"/>')
        drawn.append(_text(LABEL + length + 6, y + BAR - 5, bar.text, "num"))
        y += BAR + GAP
    drawn.append(f'<line x1="{LABEL}" y1="{first - 3}" x2="{LABEL}" y2="{y - GAP + 3}" class="axis"/>')
    if panel.hold is not None:
        x = LABEL + room * panel.hold / largest
        drawn.append(f'<line x1="{x:.1f}" y1="{first - 4}" x2="{x:.1f}" y2="{y - GAP + 4}" class="hold"/>')
    return drawn, y + 12


def render(title: str, note: str, panels: Sequence[Panel]) -> str:
    """A whole picture of panels under a title."""
    drawn, y = [_text(0, 18, title, "title")], float(HEAD)
    for panel in panels:
        elements, y = _panel(panel, y)
        drawn += elements
    drawn.append(_text(0, y + 8, note, "sub"))
    return _document(drawn, y + 18, title)


def _document(drawn: Sequence[str], height: float, title: str) -> str:
    body = "\n".join(drawn)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-8 0 {WIDTH + 16} {height:.0f}" width="{WIDTH + 16}" '
        f'height="{height:.0f}" role="img" aria-label="{escape(title)}">\n<style>{STYLE}</style>\n{body}\n</svg>\n'
    )


def _kind(role: str) -> str:
    return {"gatewright": "own", "proxy": "proxy"}.get(role, "peer")


def _bars(run: Run, figure: str) -> list[Bar]:
    bars = []
    for one in run.participants:
        value = run.median(one.name, figure)
        if value is not None and one.role != "direct":
            bars.append(Bar(one.title, value, _kind(one.role), f"{value:,.{FIGURES[figure].digits}f}"))
    return bars


def _panels(run: Run, figures: Sequence[tuple[str, str, float | None]]) -> list[Panel]:
    panels = []
    for figure, title, hold in figures:
        bars = _bars(run, figure)
        if bars:
            panels.append(Panel(title, bars, hold, _cut(figure, bars, hold)))
    return panels


def _cut(figure: str, bars: Sequence[Bar], hold: float | None) -> float | None:
    """Where less is better, one slow gateway must not press all others into the axis: its bar is broken off."""
    if FIGURES[figure].higher_is_better or hold is None:
        return None
    return max(3 * hold, *(1.25 * bar.value for bar in bars if bar.kind != "peer"), 0.0)


def _soak(run: Run) -> str | None:
    """Worker memory over the soak, as a line."""
    details = run.details("gatewright-full", "soak_growth")
    samples = details[-1]["samples"] if details else []
    if len(samples) < 2:
        return None
    left, right, top, bottom = 60.0, WIDTH - 20.0, 48.0, 220.0
    most, roof = samples[-1][0] or 1, max(rss for _, rss in samples) * 1.2
    points = " ".join(
        f"{left + (right - left) * count / most:.1f},{bottom - (bottom - top) * rss / roof:.1f}"
        for count, rss in samples
    )
    drawn = [_text(0, 18, f"Worker memory over {most:,} requests", "title")]
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        y = bottom - (bottom - top) * share
        drawn.append(f'<line x1="{left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" class="axis"/>')
        drawn.append(_text(left - 8, y + 4, f"{roof * share:.0f} MB", "sub num", "end"))
        drawn.append(_text(left + (right - left) * share, bottom + 20, f"{most * share:,.0f}", "sub num", anchor))
    drawn.append(f'<polyline points="{points}" class="line"/>')
    drawn.append(
        _text(0, bottom + 46, "Resident set of the worker with key authentication and every filter on.", "sub")
    )
    return _document(drawn, bottom + 58, "Worker memory over the soak")


def draw(run: Run) -> dict[str, str]:
    """Every plot that this run has the numbers for, by file name without its ending."""
    nginx = run.median("nginx", "rps_1kb")
    nginx_chunk = run.median("nginx", "chunk_cpu")
    pictures = {
        "throughput": (
            "Requests per second on one core",
            "More is better. The dashed line is the promise: 0.40 × nginx as a bare proxy.",
            [
                ("rps_1kb", "1 KB requests", 0.4 * nginx if nginx else None),
                ("rps_100kb", "100 KB requests", None),
                ("rps_1mb", "1 MB requests", None),
            ],
        ),
        "latency": (
            "Latency added at half load",
            "Less is better; the latency without a gateway is subtracted. Dashed: the promise. Broken: off the scale.",
            [("added_p50", "p50, ms", 0.4), ("added_p99", "p99, ms", 2.0)],
        ),
        "chunks": (
            "CPU time per streamed chunk",
            "Less is better. Dashed: the promise, 1.5 × nginx. Broken bars are off the scale.",
            [("chunk_cpu", "µs of CPU a chunk, 100 streams at once", 1.5 * nginx_chunk if nginx_chunk else None)],
        ),
        "memory": (
            "Memory",
            "Less is better. Dashed: the promise. Broken bars are off the scale.",
            [
                ("idle_worker_rss", "idle worker, MB resident", 60.0),
                ("stream_kb_10000", "KB per open stream, 10,000 open", 20.0),
            ],
        ),
    }
    drawn = {}
    for name, (title, note, figures) in pictures.items():
        panels = _panels(run, figures)
        if panels:
            drawn[name] = render(title, note, panels)
    soak = _soak(run)
    if soak is not None:
        drawn["soak"] = soak
    return drawn
