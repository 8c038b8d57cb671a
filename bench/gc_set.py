"""The cases of the collector's benchmarks: which program of the set, of what size, which figures it gives.

A case runs on every implementation that `takes` it; all must print the same checksum. Its figures go to
sections of the report, under a label, scaled to the section's unit.
SPDX-License-Identifier: MIT
"""
import dataclasses

from gc_peers import CONSERVATIVE, TYPED

LIVE = {"objects": 1_000_000}
MESSAGES = {**LIVE, "messages": 200_000}
FEW_MESSAGES = {"objects": 20_000, "messages": 2_000}


@dataclasses.dataclass
class Case:
    name: str
    program: str
    full: dict                   # sizes
    tiny: dict                   # what --smoke changes in them
    figures: tuple = ()          # (section, label, key of the record, scale)
    costs: bool = False          # wall time, processor time and peak RSS are figures too
    collects: bool = False       # needs a collector
    only: tuple = ()             # names of implementations; none: all
    linear: bool = False         # also on Cairn's linear layout
    rounds: int = 1000           # at most: the long ones say less

    def takes(self, one):
        if self.only:
            return one.name in self.only
        if self.collects and not one.collects:
            return False
        return self.linear or one.name != "cairn-linear"

    def words(self, smoke):
        sizes = {**self.full, **(self.tiny if smoke else {})}
        return [self.program, *(f"{key}={value}" for key, value in sizes.items())]


def trees(threads):
    return Case(f"trees_{threads}", "trees", {"depth": 18, "threads": threads}, {"depth": 13}, costs=True,
                linear=threads == 1)


def quantiles(section, label, keys):
    """Figures of a record that has latencies, in microseconds."""
    return tuple((section, f"{label}, {what}", key, 1e-3) for what, key in keys.items())


WAITS = {"p50": "p50_ns", "p99": "p99_ns", "p99.9": "p999_ns", "max": "max_ns"}
STOPS = {"p50": "stop_p50_ns", "p99.9": "stop_p999_ns", "max": "stop_max_ns"}


def latency(name, label, operations, pace_ns):
    return Case(name, "latency", {**MESSAGES, "operations": operations, "pace_ns": pace_ns},
                {**FEW_MESSAGES, "operations": 20_000},
                (("wait", f"{label}, mean", "mean_ns", 1e-3), *quantiles("wait", label, WAITS),
                 *quantiles("stop", label, {"max": "stop_max_ns"}), ("assist", label, "assist_ms", 1)),
                costs=True)


def large(name, label, buffers, touch):
    return Case(name, "large", {"buffers": buffers, "window": 16, "bytes": 1 << 20, "touch": touch},
                {"buffers": 100}, (("large", label, "each_us", 1),), costs=touch == 1)


def alloc(size, typed):
    kind = "with pointers" if typed else "without"
    return Case(f"alloc_{size}_{'typed' if typed else 'noscan'}", "alloc",
                {"bytes": size, "typed": int(typed), "count": 5_000_000 if size == 256 else 20_000_000},
                {"count": 200_000}, (("alloc", f"{size} B, {kind}", "each_ns", 1),))


def mark(name, label, objects, rounds):
    return Case(name, "mark", {"objects": objects, "rounds": rounds}, {"objects": 20_000},
                (("mark", f"{label}, million/s", "million_per_s", 1),
                 ("mark", f"{label}, GB/s", "gb_per_s", 1), ("collect", label, "collect_ms", 1)),
                collects=True, linear=True, rounds=1000 if objects <= 1_000_000 else 1)


def stops(name, label, objects, seconds, **more):
    return Case(name, "stops", {"objects": objects, "cycles": 2000, "seconds": seconds},
                {"objects": 20_000, "cycles": 3},
                (*quantiles("stop", label, STOPS), ("collect", f"{label}, beside a thread", "cycle_ms", 1),
                 ("step", label, "step_ns", 1)),
                collects=True, rounds=1000 if objects <= 1_000_000 else 1, **more)


CASES = [
    trees(1), trees(2), trees(4),
    Case("mix", "mix", {"depth": 18, "numbers": 500_000, "share": 6}, {"depth": 14, "share": 1}, costs=True,
         linear=True),
    Case("graph", "graph", {**LIVE, "writes": 50_000_000, "steps": 4_000_000},
         {"objects": 20_000, "writes": 100_000, "steps": 20_000},
         (("graph", "store into a field", "write_ns", 1), ("graph", "step", "step_ns", 1)), costs=True),
    latency("latency", "unpaced", 2_000_000, 0),
    latency("latency_paced", "paced", 1_000_000, 5000),
    large("large_untouched", "untouched", 20_000, 0),
    large("large_touched", "copied into", 3_000, 1),
    *(alloc(size, typed) for size in (16, 32, 64, 256) for typed in (False, True)),
    mark("mark_1m", "1 M objects", 1_000_000, 5),
    mark("mark_10m", "10 M objects", 10_000_000, 3),
    stops("stops_1m", "1 M objects", 1_000_000, 8),
    stops("stops_10m", "10 M objects", 10_000_000, 15),
    stops("stops_1gib", "1 GiB of objects", 1 << 24, 15, only=(TYPED, CONSERVATIVE)),
]
