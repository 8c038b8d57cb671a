"""The collector's figures as people read them: text tables, Markdown, JSON, SVG.

A cell is the median and, behind it, how many times worse it is than the best of the row. Implementations
without a figure in a section are not in its table.
SPDX-License-Identifier: MIT
"""
import dataclasses
import json
import math
import statistics

import chart
from report import grid, number

LESS, MORE, PLAIN = "less", "more", "plain"  # which is better; PLAIN: no ratio, no chart
SECTIONS = {  # key: title, unit, which is better
    "time": ("Time", "s", LESS),
    "cpu": ("Processor time", "s of user + system", LESS),
    "rss": ("Peak RSS", "MiB", LESS),
    "alloc": ("An object that is garbage at once", "ns; by hand: the pair", LESS),
    "large": ("A buffer of 1 MiB", "us", LESS),
    "graph": ("Pointers", "ns", LESS),
    "wait": ("What an operation waits for", "us", LESS),
    "stop": ("Stops of the world", "us", LESS),
    "assist": ("Assists", "ms of the whole run", PLAIN),
    "mark": ("Marking", "more is better", MORE),
    "collect": ("A forced cycle", "ms", LESS),
    "step": ("A step of the thread beside forced cycles", "ns", LESS),
    "walk": ("What the machine can do", "million objects/s", PLAIN),
    "barrier": ("A store into a field while no cycle runs", "ns", PLAIN),
}


@dataclasses.dataclass
class Table:
    """One section reduced: rows of (case, {implementation: (median, times the best)})."""
    section: str
    title: str
    unit: str
    better: str
    names: list
    rows: list

    @property
    def to_best(self):
        """Geometric means, of the implementations that are in every row."""
        means = {}
        for name in self.names:
            ratios = [cells[name][1] for _, cells in self.rows if name in cells]
            if len(ratios) == len(self.rows) and all(ratios):
                means[name] = math.exp(sum(map(math.log, ratios)) / len(ratios))
        return means


def times_best(medians, better):
    values = [value for value in medians.values() if value]
    if better == PLAIN or not values:
        return {name: (value, None) for name, value in medians.items()}
    best = min(values) if better == LESS else max(values)
    ratio = (lambda v: v / best) if better == LESS else (lambda v: best / v)
    return {name: (value, ratio(value) if value else 1.0) for name, value in medians.items()}


def table(figures, section, names):
    title, unit, better = SECTIONS[section]
    rows = []
    for case in figures.cases(section):
        medians = {name: figures.median(section, case, name) for name in names}
        rows.append((case, times_best({n: m for n, m in medians.items() if m is not None}, better)))
    present = [name for name in names if any(name in cells for _, cells in rows)]
    return Table(section, title, unit, better, present, rows)


def tables(figures, names):
    return [table(figures, section, [*names, "machine"]) for section in SECTIONS if figures.cases(section)]


def table_rows(one, markdown):
    rows = [["case", *one.names]]
    for case, cells in one.rows:
        row = [case]
        for name in one.names:
            if name not in cells:
                row.append("-")
                continue
            median, ratio = cells[name]
            text = number(median) + (f" ({number(ratio)})" if ratio else "")
            row.append(f"**{text}**" if markdown and ratio == 1 else text)
        rows.append(row)
    if one.better != PLAIN and len(one.rows) > 1:
        means = one.to_best
        rows.append(["geometric mean, to the best", *(number(means.get(name)) for name in one.names)])
    return rows


def render(figures, names, facts, bars, markdown=False):
    """The whole report as text or Markdown."""
    def head(text):
        return [f"## {text}", ""] if markdown else ["", text]

    lines = [f"{'- ' if markdown else ''}{key}: {value}" for key, value in facts.items()]
    out = ["# Cairn's collector and its peers", "", *lines, ""] if markdown else lines
    for one in tables(figures, names):
        out += head(f"{one.title}, {one.unit}") + grid(table_rows(one, markdown), markdown) + [""]
    if bars:
        out += head("Bars") + [f"- {bar}" if markdown else str(bar) for bar in bars] + [""]
    if figures.failures:
        out += head("Failures") + [f"- {line}" for line in figures.failures] + [""]
    return "\n".join(out)


def as_json(figures, names, facts, bars):
    sections = {
        section: {case: {name: {"median": statistics.median(values), "min": min(values), "max": max(values),
                                "samples": len(values)} for name, values in by_name.items()}
                  for case, by_name in cases.items()}
        for section, cases in figures.samples.items()}
    return json.dumps({
        "facts": facts, "implementations": names, "figures": sections,
        "bars": [{**dataclasses.asdict(bar), "met": bar.met} for bar in bars],
        "failures": figures.failures,
    }, indent=1)


class Drawing(chart.Drawing):
    """Panels that leave out who has no figure, instead of calling that a failure."""

    def group(self, label, ratios, names, colour, weight="normal"):
        present = [name for name in names if name in ratios]
        if present:
            super().group(label, ratios, present, colour, weight)


def svg(figures, names, facts):
    colours = {name: chart.COLOURS[i % len(chart.COLOURS)] for i, name in enumerate(names)}
    drawing = Drawing()
    drawing.y = 34
    title = "Cairn's collector and its peers: shorter is better"
    drawing.text(chart.LEFT, drawing.y, title, 18, weight="bold")
    drawing.y += 20
    drawing.text(chart.LEFT, drawing.y, f"{facts['machine']}; rounds: {facts['rounds']}, medians", 11,
                 fill="#666")
    drawing.y += 14
    drawing.legend(names, colours)
    for one in tables(figures, names):
        if one.rows and one.better != PLAIN and one.section != "cpu":  # processor time is in the tables
            drawing.panel(one, one.names, colours)
    height = drawing.y + 20
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{chart.WIDTH}" height="{height:.0f}" '
        f'viewBox="0 0 {chart.WIDTH} {height:.0f}" font-family="system-ui, sans-serif">',
        f'<rect width="{chart.WIDTH}" height="{height:.0f}" fill="#fff"/>', *drawing.parts, "</svg>", ""])
