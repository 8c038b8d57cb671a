"""One SVG of the run: a group of bars a case, each as long as its ratio to the best of the group.

Each panel has a logarithmic axis from 1 to a cap, as far as its bars need but at most to the last of TICKS; a
bar beyond is cut and has its number. The best of a group is a stub at 1. Hand-written SVG: no library, opens
in any browser, text stays text.
SPDX-License-Identifier: MIT
"""
import math
from xml.sax.saxutils import escape

from report import number, tables

COLOURS = ["#0b5fa5", "#9a9a9a", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#b8a900"]
TICKS = [1, 1.25, 1.5, 2, 3, 4, 6, 8]
WIDTH, LEFT, RIGHT = 960, 190, 70
BAR, GAP, STUB = 8, 9, 4


def cap_of(table):
    """The first tick, from 2 on, that no bar of the table is beyond."""
    longest = max(ratio for _, cells in table.rows for _, ratio in cells.values())
    return next((tick for tick in TICKS if tick >= max(2, longest)), TICKS[-1])


class Drawing:
    def __init__(self):
        self.parts = []
        self.y = 0
        self.cap = TICKS[-1]

    def length(self, ratio):
        """Pixels of a bar: the stub for the best, the whole width for the cap and more."""
        room = WIDTH - LEFT - RIGHT - STUB
        return STUB + room * min(1.0, math.log(max(1.0, ratio)) / math.log(self.cap))

    def text(self, x, y, words, size=12, anchor="start", weight="normal", fill="#222"):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
                          f'font-weight="{weight}" fill="{fill}">{escape(words)}</text>')

    def box(self, x, y, width, height, fill):
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
                          f'fill="{fill}"/>')

    def line(self, x, top, bottom):
        self.parts.append(f'<line x1="{x:.1f}" y1="{top:.1f}" x2="{x:.1f}" y2="{bottom:.1f}" stroke="#ddd"/>')

    def legend(self, names, colour):
        x = LEFT
        for name in names:
            self.box(x, self.y, 12, 12, colour[name])
            self.text(x + 17, self.y + 10.5, name)
            x += 34 + 7.5 * len(name)
        self.y += 26

    def axis(self, top, bottom):
        for tick in (t for t in TICKS if t <= self.cap):
            x = LEFT + self.length(tick)
            self.line(x, top, bottom)
            self.text(x, top - 5, f"{tick:g}x", 10, "middle", fill="#777")

    def bar(self, name, ratio, colour):
        pixels = self.length(ratio)
        self.box(LEFT, self.y, pixels, BAR, colour)
        if ratio > self.cap:
            self.text(LEFT + pixels + 4, self.y + BAR, f"{number(ratio)}x", 9, fill=colour)
        elif name == "cairn":
            self.text(LEFT + pixels + 4, self.y + BAR, f"{ratio:.2f}", 9, fill=colour)
        self.y += BAR

    def group(self, label, ratios, names, colour, weight="normal"):
        middle = self.y + len(names) * BAR / 2 + 4
        self.text(LEFT - 8, middle, label, 12, "end", weight)
        for name in names:
            if name in ratios:
                self.bar(name, ratios[name], colour[name])
            else:
                self.text(LEFT + 4, self.y + BAR, f"{name} failed", 8, fill=colour[name])
                self.y += BAR
        self.y += GAP

    def panel(self, table, names, colour):
        self.cap = cap_of(table)
        self.y += 18
        self.text(LEFT, self.y, f"{table.title} ({table.unit}), relative to the best", 14, weight="bold")
        self.y += 30
        rows = len(table.rows) + 1
        self.axis(self.y - 4, self.y + rows * (len(names) * BAR + GAP) - GAP + 4)
        for case, cells in table.rows:
            self.group(case, {n: ratio for n, (_, ratio) in cells.items()}, names, colour)
        means = {n: value for n, value in table.to_best.items() if value}
        self.group("geometric mean", means, names, colour, "bold")


def svg(figures, names, facts):
    colour = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    drawing = Drawing()
    drawing.y = 34
    drawing.text(LEFT, drawing.y, "Cairn and its peers: shorter is better", 18, weight="bold")
    drawing.y += 20
    drawing.text(LEFT, drawing.y, f"{facts['machine']}; rounds: {facts['rounds']}, medians", 11, fill="#666")
    drawing.y += 14
    drawing.legend(names, colour)
    for table in tables(figures, names):
        if table.rows and table.section != "cpu":  # processor time follows time; it is in the tables
            drawing.panel(table, names, colour)
    height = drawing.y + 20
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" '
        f'viewBox="0 0 {WIDTH} {height:.0f}" font-family="system-ui, sans-serif">',
        f'<rect width="{WIDTH}" height="{height:.0f}" fill="#fff"/>', *drawing.parts, "</svg>", ""])
