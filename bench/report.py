"""The figures as people read them: text tables, Markdown and JSON.

A cell is the median and, behind it, its ratio to the best of the row. Below a section stand the geometric
means: of the ratios to the best, and of each allocator against each.
SPDX-License-Identifier: MIT
"""
import json
import math
import statistics

SECTIONS = {  # key: title, what a cell is
    "micro": ("Micro", "ns per operation"),
    "wall": ("Programs: time", "s"),
    "cpu": ("Programs: processor time", "s of user + system"),
    "rss": ("Programs: peak RSS", "MiB"),
}


def number(value):
    """Three digits that matter, no exponent."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{digits}f}"


class Table:
    """One section reduced: rows of (case, {allocator: (median, ratio to best)})."""

    def __init__(self, figures, section, names):
        self.title, self.unit = SECTIONS[section]
        self.section, self.names = section, names
        self.rows = []
        for case in figures.cases(section):
            medians = {n: figures.median(section, case, n) for n in names}
            best = min((m for m in medians.values() if m), default=None)
            self.rows.append((case, {n: (m, m / best) for n, m in medians.items() if m}))
        self.common = figures.common_cases(section, names)
        self.means = {n: figures.geomean(section, n, names) for n in names}
        self.to_best = {n: self.mean_to_best(n) for n in names}

    def mean_to_best(self, name):
        logs = [math.log(cells[name][1]) for case, cells in self.rows if case in self.common]
        return math.exp(sum(logs) / len(logs)) if logs else None

    def against(self, row, column):
        ours, theirs = self.means[row], self.means[column]
        return ours / theirs if ours and theirs else None


def tables(figures, names):
    return [Table(figures, s, names) for s in SECTIONS if figures.cases(s)]


def grid(rows, markdown):
    """Lays out rows of strings; the first is the head."""
    if markdown:
        lines = ["| " + " | ".join(row) + " |" for row in rows]
        lines.insert(1, "|---" + "|---:" * (len(rows[0]) - 1) + "|")
        return lines
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(w) if i == 0 else cell.rjust(w)
                      for i, (cell, w) in enumerate(zip(row, widths))).rstrip() for row in rows]


def table_rows(table, markdown):
    rows = [["case", *table.names]]
    for case, cells in table.rows:
        row = [case]
        for name in table.names:
            if name not in cells:
                row.append("failed")
                continue
            median, ratio = cells[name]
            text = f"{number(median)} ({ratio:.2f})"
            row.append(f"**{text}**" if markdown and ratio == 1 else text)
        rows.append(row)
    rows.append(["geometric mean, to the best", *(number(table.to_best[n]) for n in table.names)])
    return rows


def each_rows(table):
    return [["row / column", *table.names],
            *([row, *(number(table.against(row, column)) for column in table.names)] for row in table.names)]


def start_rows(figures, names):
    rows = [["empty program", *names]]
    plain = {case: figures.median("start", case, "glibc") for case in ("time", "rss")}
    for case, what in (("time", "start to end, ms"), ("rss", "RSS at its end, MiB")):
        values = {n: figures.median("start", case, n) for n in names}
        rows.append([what, *(number(values[n]) for n in names)])
        if plain[case] is not None:
            rows.append(["  over plain", *(f"{values[n] - plain[case]:+.2f}" if values[n] is not None else "-"
                                           for n in names)])
    return rows


def memory_rows(figures, names):
    rows = [["of memory", *names]]
    for case, what in (("spike", "left of a spike after idling, %"),
                       ("limit", "highest RSS, % of the limit")):
        if case in figures.cases("memory"):
            rows.append([what, *(number(figures.median("memory", case, n)) for n in names)])
    return rows


def render(figures, names, facts, bars, markdown=False):
    """The whole report as text or Markdown."""
    out = []

    def head(text):
        out.extend([f"## {text}" if markdown else text, ""] if markdown else ["", text])

    if markdown:
        out += ["# Cairn and its peers", "", *(f"- {key}: {value}" for key, value in facts.items()), ""]
    else:
        out += [f"{key}: {value}" for key, value in facts.items()]
    for table in tables(figures, names):
        head(f"{table.title}, {table.unit}")
        out += grid(table_rows(table, markdown), markdown) + [""]
        if len(names) > 1:
            out += ["Each against each (geometric mean):", *([""] if markdown else [])]
            out += grid(each_rows(table), markdown) + [""]
    if figures.cases("start"):
        head("Start-up")
        out += grid(start_rows(figures, names), markdown) + [""]
    if figures.cases("memory"):
        head("Memory given back")
        out += grid(memory_rows(figures, names), markdown) + [""]
    if bars:
        head("Bars")
        out += [f"- {bar}" if markdown else str(bar) for bar in bars] + [""]
    if figures.failures:
        head("Failures")
        out += [f"- {line}" for line in figures.failures] + [""]
    return "\n".join(out)


def as_json(figures, names, facts, bars):
    sections = {}
    for section, cases in figures.samples.items():
        sections[section] = {
            case: {name: {"median": statistics.median(values), "min": min(values), "max": max(values),
                          "samples": len(values)} for name, values in by_name.items()}
            for case, by_name in cases.items()}
    return json.dumps({
        "facts": facts,
        "allocators": names,
        "figures": sections,
        "geometric_means": {t.section: {"of_medians": t.means, "to_best": t.to_best}
                            for t in tables(figures, names)},
        "bars": [{"what": b.what, "value": b.value, "limit": b.limit, "unit": b.unit, "against": b.against,
                  "met": b.met} for b in bars],
        "failures": figures.failures,
    }, indent=1)
