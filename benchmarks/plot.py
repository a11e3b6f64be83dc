"""Bars as SVG, readable on light and on dark ground."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

WIDTH, LEFT, BAR, GAP = 760, 250, 20, 8
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328; }
.title { font-weight: 600; } .note { fill: #656d76; font-size: 12px; }
.own { fill: #0969da; } .other { fill: #afb8c1; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; } .note { fill: #8d96a0; } .own { fill: #4493f8; } .other { fill: #484f58; }
}
"""


def bars(groups: Sequence[tuple[str, str, Sequence[tuple[str, float, bool]]]]) -> str:
    """Draw groups of bars, each to a scale of its own.

    Args:
        groups: (title, unit, bars); a bar is (name, value, whether it is ours).
    """
    shapes: list[str] = []
    y = 8
    for title, unit, rows in groups:
        y += 20
        shapes.append(f'<text class="title" x="8" y="{y}">{escape(title)}</text>')
        y += 10
        most = max(value for _, value, _ in rows) or 1.0
        for name, value, own in rows:
            long = (WIDTH - LEFT - 90) * value / most
            kind = "own" if own else "other"
            shapes += [
                f'<text x="{LEFT - 10}" y="{y + 15}" text-anchor="end">{escape(name)}</text>',
                f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{long:.1f}" height="{BAR}" rx="3"/>',
                f'<text class="note" x="{LEFT + long + 8:.1f}" y="{y + 15}">{value:.3g} {escape(unit)}</text>',
            ]
            y += BAR + GAP
        y += 12
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" role="img">'
    names = "; ".join(title for title, _, _ in groups)
    return f"{head}<title>{escape(names)}</title><style>{STYLE}</style>" + "".join(shapes) + "</svg>\n"
