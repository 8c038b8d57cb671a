"""What the collector has to reach, held against the figures of one run.

SPDX-License-Identifier: MIT
"""
from bars import Bar
from gc_peers import CONSERVATIVE, TYPED


class Judge:
    """Makes bars of the figures that are there; what was not measured is not judged."""

    def __init__(self, figures):
        self.figures, self.bars = figures, []

    def ratio(self, what, limit, section, case, peer, ours=TYPED):
        mine, its = (self.figures.median(section, case, name) for name in (ours, peer))
        if mine is not None and its:
            self.bars.append(Bar(what, mine / its, limit, "x", f"{ours} against {peer}"))

    def most(self, what, limit, unit, section, case, ours=TYPED):
        mine = self.figures.median(section, case, ours)
        if mine is not None:
            self.bars.append(Bar(what, mine, limit, unit, ours))


def throughput(judge):
    for case in ("trees_1", "mix"):
        judge.ratio(f"{case}, time", 1 / 1.5, "time", case, "go")
        judge.ratio(f"{case}, peak RSS", 1.0, "rss", case, "go")
        judge.ratio(f"{case}, time", 1 / 1.5, "time", case, "libgc", ours=CONSERVATIVE)
    for size in (16, 32, 64):
        for kind in ("without", "with pointers"):
            case = f"{size} B, {kind}"
            judge.ratio(f"allocation, {case}", 0.5, "alloc", case, "go")
            judge.ratio(f"allocation, {case}", 1.5, "alloc", case, "mimalloc")


def waiting(judge):
    for label in ("1 M objects", "10 M objects"):
        judge.most(f"stops, {label}, p99.9", 100, "us", "stop", f"{label}, p99.9")
        judge.most(f"stops, {label}, max", 1000, "us", "stop", f"{label}, max")
    judge.most("stops, 1 GiB, max", 5000, "us", "stop", "1 GiB of objects, max", ours=CONSERVATIVE)
    judge.most("paced operation, p99", 100, "us", "wait", "paced, p99")
    judge.most("paced operation, p99.9", 1000, "us", "wait", "paced, p99.9")
    judge.ratio("paced operation, peak RSS", 1.0, "rss", "latency_paced", "go")


def machine(judge):
    judge.most("Ptr store over a raw one", 1.0, "ns", "barrier", "over")
    figures = judge.figures
    for label in ("1 M objects", "10 M objects"):
        rate = figures.median("mark", f"{label}, million/s", TYPED)
        limit = figures.median("walk", f"{label}, all processors, with a mark bit", "machine")
        if rate and limit:
            judge.bars.append(Bar(f"prefetched walk over marking, {label}", limit / rate, 2.0, "x", TYPED))


def hold(figures):
    """Returns every bar that this run can judge."""
    judge = Judge(figures)
    throughput(judge)
    waiting(judge)
    machine(judge)
    return judge.bars
