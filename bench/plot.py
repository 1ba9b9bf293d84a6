"""The results as a picture: one panel of horizontal bars for each figure, in plain SVG."""

from collections.abc import Sequence
from html import escape

from .contenders import GATEWAY
from .report import FIGURES, Figure, Results, middle

_SHOWN = (
    "requests_cpu",
    "streams_cpu",
    "event_cost",
    "requests",
    "streams",
    "first_1",
    "first_50",
    "agent",
    "open",
    "startup",
)
_BETTER = {"requests": "more is better", "streams": "more is better"}

_WIDTH = 440
_LABEL = 120
_BAR = 230
_ROW = 20
_COLUMNS = 2
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#24292f}.title{font-weight:600}.note{fill:#6e7781}"
    ".ours{fill:#2f6feb}.other{fill:#9aa4b0}"
    "@media (prefers-color-scheme:dark){text{fill:#e6edf3}.note{fill:#8d96a0}.other{fill:#6e7681}}"
)


def svg(results: Results) -> str:
    names = list(results.versions)
    figures = [figure for key in _SHOWN for figure in FIGURES if figure.key == key]
    panels = [figure for figure in figures if any(middle(results, figure.key, name) for name in names)]
    height = 36 + _ROW * len(names)
    rows = -(-len(panels) // _COLUMNS)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH * _COLUMNS} {height * rows}" '
        f'width="{_WIDTH * _COLUMNS}" height="{height * rows}" role="img" aria-label="Benchmark results">',
        f"<style>{_STYLE}</style>",
    ]
    for place, figure in enumerate(panels):
        x, y = place % _COLUMNS * _WIDTH, place // _COLUMNS * height
        parts.append(f'<g transform="translate({x} {y})">')
        parts += _panel(results, figure, names)
        parts.append("</g>")
    parts.append("</svg>\n")
    return "\n".join(parts)


def _panel(results: Results, figure: Figure, names: Sequence[str]) -> list[str]:
    values = [middle(results, figure.key, name) for name in names]
    longest = max(value for value in values if value is not None) or 1.0
    better = _BETTER.get(figure.key, "less is better")
    parts = [
        f'<text class="title" x="0" y="16">{escape(figure.title)}'
        f'<tspan class="note" font-weight="400">  {better}</tspan></text>'
    ]
    for row, (name, value) in enumerate(zip(names, values, strict=True)):
        y = 26 + row * _ROW
        width = max(1.0, _BAR * max(value or 0.0, 0.0) / longest)
        kind = "ours" if name == GATEWAY else "other"
        parts.append(f'<text x="{_LABEL - 8}" y="{y + 11}" text-anchor="end">{escape(name)}</text>')
        if value is not None:
            parts.append(
                f'<rect class="{kind}" x="{_LABEL}" y="{y}" width="{width:.1f}" height="14" rx="2"/>'
            )
        parts.append(f'<text x="{_LABEL + width + 6:.1f}" y="{y + 11}">{figure.show(value)}</text>')
    return parts
