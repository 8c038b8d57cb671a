"""The bars Cairn has to reach, held against the figures of one run.

Each bar compares Cairn with the best peer of the same run, so a slow machine or a busy one moves both.
SPDX-License-Identifier: MIT
"""
import dataclasses

LEAN = ("mimalloc", "jemalloc", "tcmalloc")  # whose peak RSS is the yardstick; newer builds by their prefix


@dataclasses.dataclass
class Bar:
    what: str
    value: float
    limit: float
    unit: str      # "x" for a ratio
    against: str   # the peer, or what the value is taken over

    @property
    def met(self):
        return self.value <= self.limit

    def __str__(self):
        verdict = "met   " if self.met else "MISSED"
        space = "" if self.unit == "x" else " "
        unit = space + self.unit
        return f"{verdict} {self.what}: {self.value:.3g}{unit} of {self.limit:g}{unit} ({self.against})"


def ratio_bar(what, limit, figure, peers):
    """Cairn's figure over the smallest one of the peers, or None when one of them is not there."""
    values = {peer: figure(peer) for peer in peers}
    values = {peer: value for peer, value in values.items() if value}
    ours = figure("cairn")
    if not values or not ours:
        return None
    best = min(values, key=values.get)
    return Bar(what, ours / values[best], limit, "x", f"against {best}")


def hold(figures, names, whole):
    """Returns every bar that this run can judge; the means only when nothing was filtered out of the sets."""
    if "cairn" not in names:
        return []
    peers = [n for n in names if n != "cairn"]
    lean = [n for n in peers if n.startswith(LEAN)]

    def mean(section):
        return lambda name: figures.geomean(section, name, names)

    bars = [ratio_bar("malloc + free of 64 B", 1.1, lambda n: figures.median("micro", "pair_64", n), peers)]
    if whole:
        bars += [
            ratio_bar("micro set, geometric mean", 1.1, mean("micro"), peers),
            ratio_bar("programs, time, geometric mean", 1.05, mean("wall"), peers),
            ratio_bar("programs, peak RSS, geometric mean", 1.1, mean("rss"), lean),
        ]
    for case, what, limit, unit in (("time", "start-up over plain", 1.0, "ms"),
                                    ("rss", "RSS of an empty program over plain", 1.5, "MiB")):
        plain, ours = (figures.median("start", case, n) for n in ("glibc", "cairn"))
        if plain is not None and ours is not None:
            bars.append(Bar(what, ours - plain, limit, unit, "over glibc"))
    for case, what, limit in (("spike", "left of a freed spike after 10 s", 10.0),
                              ("limit", "RSS under a memory limit while live data fits", 110.0)):
        ours = figures.median("memory", case, "cairn")
        if ours is not None:
            bars.append(Bar(what, ours, limit, "%", "of the spike" if case == "spike" else "of the limit"))
    return [bar for bar in bars if bar is not None]
