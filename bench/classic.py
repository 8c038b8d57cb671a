#!/usr/bin/env python3
"""Benchmarks of the classic half: linear allocation, recording, replaying and mapping, each with its bar.

Sets: `linear`, `record`, `programs`, `replay`, `map`, `layout`; --only chooses.
README.md says what each measures.
SPDX-License-Identifier: MIT
"""
import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True

from bars import Bar
from measure import Allocator, Failure, Launcher
from program_set import prepare_programs
from report import grid, number

SETS = ("linear", "record", "programs", "replay", "map", "layout")
PLAIN = Allocator("plain", None)
RECORDED = Allocator("recorded", None)
TEN_MINUTES = 600


def say(words):
    print(words, file=sys.stderr, flush=True)


def arguments():
    parser = argparse.ArgumentParser(description="Benchmarks of the linear allocator, traces and maps.")
    parser.add_argument("--build", default="build/release", help="where Cairn was built (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of a case (%(default)s)")
    parser.add_argument("--only", default="", metavar="LIST", help=f"sets, by comma, of {', '.join(SETS)}")
    parser.add_argument("--filter", default="", metavar="REGEX", help="only programs that match")
    parser.add_argument("--policies", default="", metavar="LIST", help="of the replays (default: all)")
    parser.add_argument("--markdown", metavar="FILE", help="write the tables as Markdown")
    parser.add_argument("--json", metavar="FILE", help="write all figures as JSON")
    parser.add_argument("--check", action="store_true", help="exit 1 when a bar is missed")
    parser.add_argument("--smoke", action="store_true", help="one round of tiny sizes: does everything run?")
    chosen = parser.parse_args()
    wrong = set(filter(None, chosen.only.split(","))) - set(SETS)
    if wrong:
        parser.error(f"--only: no set {', '.join(sorted(wrong))}; valid: {', '.join(SETS)}")
    if chosen.rounds < 1:
        parser.error("--rounds wants 1 or more")
    return chosen


class RecordingLauncher(Launcher):
    """Puts `cairn run` before a program, and --record when it shall be recorded."""

    def __init__(self, place, cairn):
        super().__init__(place)
        self.cairn, self.trace = cairn, self.place / "trace"

    def command(self, allocator, arguments, **more):
        if allocator.name in ("cairn", "recorded"):
            recording = ["--record", self.trace] if allocator is RECORDED else []
            if recording:
                self.trace.unlink(missing_ok=True)
            arguments = [self.cairn, "run", *recording, "--", *arguments]
            allocator = PLAIN
        return super().command(allocator, arguments, **more)


class Classic:
    def __init__(self, options, place):
        self.options, self.place = options, Path(place)
        self.build = Path(options.build).resolve()
        self.cairn = self.build / "bin" / "cairn"
        if not self.cairn.exists():
            raise SystemExit(f"classic.py: no {self.cairn}; build first, or name the place with --build")
        self.launcher = RecordingLauncher(place, self.cairn)
        self.calls = self.launcher.compile("calls")
        self.rounds = 1 if options.smoke else options.rounds
        self.tables = []   # (title, rows with the head first)
        self.bars = []
        self.failures = []

    def size(self, full, tiny):
        return tiny if self.options.smoke else full

    def bar(self, what, value, limit, unit, against):
        self.bars.append(Bar(what, value, limit, unit, against))

    def cairn_verb(self, *words, code=0):
        done = subprocess.run([self.cairn, *map(str, words)], capture_output=True, text=True, check=False)
        if done.returncode != code:
            raise Failure(f"cairn {words[0]} ended with {done.returncode}: {done.stderr.strip()[-300:]}")
        return done.stdout

    # ---- the sets

    def linear(self):
        """bench/linear itself takes the fastest of many rounds, both in turn."""
        program = self.build / "bench" / "linear"
        smoke = ["--smoke"] if self.options.smoke else []
        output = subprocess.run([program, *smoke], check=True, capture_output=True, text=True).stdout
        rows = [line.split() for line in output.splitlines()[1:]]
        self.tables.append(("Linear allocator beside the machine's limit, ns an object",
                            [["objects", "limit", "cairn::Linear", "ratio"],
                             *([f"{where}, {size} B", limit, ours, ratio]
                               for where, size, limit, ours, ratio in rows)]))
        worst = max(float(row[4]) for row in rows if row[1] != "16")
        self.bar("linear allocation, 64 B and more", worst, 1.2, "x", "of writing that memory")

    def own_ns(self, allocator, *words):
        """What a program of calls.c says it took."""
        output = self.place / "calls.out"
        self.launcher.run(allocator, [self.calls, *map(str, words)], stdout=output)
        return int(output.read_text())

    def trace_facts(self):
        facts = json.loads(self.cairn_verb("trace", "--json", self.launcher.trace))
        if not facts["is_complete"] or facts["wrong_frees"] or facts["unknown_frees"]:
            raise Failure(f"a trace is not whole: {facts.get('trouble')}")
        return facts

    def record(self):
        events = self.size(50_000_000, 200_000)
        cairn = Allocator("cairn", None)
        samples = {"plain": [], "cairn": [], "recorded": []}
        for _ in range(self.rounds):
            for allocator in (PLAIN, cairn, RECORDED):
                samples[allocator.name].append(self.own_ns(allocator, "pairs", events) / events)
        each = {name: statistics.median(values) for name, values in samples.items()}
        seen = self.trace_facts()["events"]
        if not events <= seen <= events + 1000:
            raise Failure(f"{seen} events of {events} are in the trace")
        stored = self.launcher.trace.stat().st_size / seen
        self.tables.append(("Recording one thread that does nothing else",
                            [["malloc or free", "ns", "million a second"],
                             *([name, number(ns), number(1000 / ns)] for name, ns in each.items()),
                             ["bytes an event on disk", number(stored), ""]]))
        self.bar("recording, an event of one thread", each["recorded"], 100, "ns", "10 million a second")

    def programs(self):
        chosen = re.compile(self.options.filter)
        ready, absent = prepare_programs(self.launcher, self.options.smoke, chosen.search)
        for line in absent:
            say(f"skipped: {line}")
        cairn = Allocator("cairn", None)
        rows = [["program", "plain s", "cairn s", "recorded s", "to plain", "to cairn", "events",
                 "million/s"]]
        worst = 0
        for program in ready:
            say(f"  {program.name}")
            samples = {"plain": [], "cairn": [], "recorded": []}
            try:
                for _ in range(self.rounds):
                    for allocator in (PLAIN, cairn, RECORDED):
                        samples[allocator.name].append(program.run(allocator).wall_s)
                facts = self.trace_facts()
            except (Failure, OSError, subprocess.SubprocessError) as wrong:
                self.failures.append(f"{program.name}: {wrong}")
                continue
            plain, ours, recorded = (statistics.median(values) for values in samples.values())
            worst = max(worst, recorded / plain)
            rows.append([program.name, number(plain), number(ours), number(recorded),
                         f"{recorded / plain:.2f}", f"{recorded / ours:.2f}", f"{facts['events']:,}",
                         number(facts["events"] / recorded / 1e6)])
        self.tables.append(("Recording real programs", rows))
        self.bar("recording real programs, the worst", worst, 2, "x", "of their plain time")

    def replay(self):
        events, slots = self.size(10_000_000, 100_000), 100_000
        native = {"plain": [], "cairn": []}
        for _ in range(self.rounds):
            for allocator in (PLAIN, Allocator("cairn", None)):
                native[allocator.name].append(self.own_ns(allocator, "mixed", events, slots))
        plain, ours = (min(values) for values in native.values())
        self.own_ns(RECORDED, "mixed", events, slots)
        only = ["--policies", self.options.policies] if self.options.policies else []
        start = time.monotonic()
        found = json.loads(self.cairn_verb("replay", self.launcher.trace, "--json", "--quiet", *only,
                                           "--runs", self.rounds))
        whole = time.monotonic() - start
        rows = [["policy", "s", "ns an event", "to native", "peak MiB", "to live", "blocks visited"],
                ["native, plain", number(plain / 1e9), number(plain / events), "1.00", "", "", ""],
                ["native, cairn", number(ours / 1e9), number(ours / events), f"{ours / plain:.2f}", "", "",
                 ""]]
        live = found["program"]["peak_live_bytes"]
        for one in found["policies"]:
            if not one["is_complete"]:
                self.failures.append(f"replay on {one['policy']}: {one['ending']}")
                continue
            visited = number(one["visited_per_operation"]) if one.get("visited_per_operation") else ""
            rows.append([one["policy"], number(one["ns"] / 1e9), number(one["ns"] / events),
                         f"{one['ns'] / plain:.2f}", number(one["peak_footprint_bytes"] / 2**20),
                         number(one["peak_footprint_bytes"] / live), visited])
            if one["policy"] in ("cairn", "segregated"):
                self.bar(f"replay on {one['policy']}", one["ns"] / plain, 1.5, "x", "of the native run")
        self.tables.append((f"Replay of {events:,} events", rows))
        self.bar("replay on all policies together", whole, TEN_MINUTES, "s", "as one command")

    def map(self):
        mib = self.size(1024, 64)
        child = subprocess.Popen([self.cairn, "run", "--", self.calls, "hold", str(mib)],
                                 stdout=subprocess.PIPE, text=True)
        rows, worst = [["output", "s", "KiB"]], 0
        try:
            if child.stdout.readline() != "ready\n":
                raise Failure("the program to be mapped did not start")
            for what, file in (("text", None), ("--json", None), ("--save", "heap.map"),
                               ("html", "heap.html"), ("svg", "heap.svg"), ("png", "heap.png")):
                words = ["--save", self.place / file] if what == "--save" else \
                    ["-o", self.place / file] if file else [w for w in (what,) if w.startswith("-")]
                samples = []
                for _ in range(self.rounds):
                    start = time.monotonic()
                    text = self.cairn_verb("map", child.pid, *words)
                    samples.append(time.monotonic() - start)
                size = (self.place / file).stat().st_size if file else len(text)
                rows.append([what, number(statistics.median(samples)), number(size / 1024)])
                worst = max(worst, statistics.median(samples))
            facts = json.loads(self.cairn_verb("map", child.pid, "--json"))
        finally:
            child.kill()
            child.stdout.close()
            child.wait()
        title = f"Map of a heap of {mib} MiB: {facts['live']['objects']:,} objects live, " \
                f"{facts['spans']['count']:,} spans"
        self.tables.append((title, rows))
        self.bar("map of 1 GiB", worst, 2, "s", "the slowest output")

    def layout(self):
        """What the sparse layout costs: the fastest of many runs in turn, for the difference is small."""
        mixed = [self.calls, "mixed", str(self.size(2_000_000, 10_000)), "100000"]
        cases = {"malloc and free, ns a call": (mixed, lambda text: int(text) / int(mixed[2]))}
        collector = self.build / "bench" / "gc" / "cairn"
        if collector.exists():
            program = [collector, "cairn"]
            seconds = lambda text: json.loads(text)["seconds"]
            cases["collector, trees, s"] = ([*program, "trees", f"depth={self.size(16, 12)}", "threads=1"],
                                            seconds)
            cases["collector, marking, ns an object"] = (
                [*program, "mark", f"objects={self.size(1_000_000, 10_000)}", "rounds=3"],
                lambda text: 1000 / json.loads(text)["million_per_s"])
        else:
            say(f"skipped: collector on both layouts: no {collector} ('make bench-gc' builds it)")
        preload = {"LD_PRELOAD": str(self.build / "lib" / "libcairn-malloc.so")}
        rows = [["work", "sparse", "linear", "sparse to linear"]]
        for what, (command, figure) in cases.items():
            least = {}
            for turn in range(1 if self.options.smoke else 4 * self.rounds):
                for name in ("sparse", "linear")[::1 if turn % 2 else -1]:
                    more = {"CAIRN_LAYOUT": name, **(preload if command is mixed else {})}
                    done = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True,
                                          env={**self.launcher.bare, **more})
                    taken = figure(done.stdout.splitlines()[-1])
                    least[name] = min(least.get(name, taken), taken)
            rows.append([what, number(least["sparse"]), number(least["linear"]),
                         f"{least['sparse'] / least['linear']:.3f}"])
        self.tables.append(("The sparse layout beside the linear one, the fastest of all runs", rows))

    def measure(self):
        wanted = self.options.only.split(",") if self.options.only else SETS
        for name in SETS:
            if name not in wanted:
                continue
            say(name)
            try:
                getattr(self, name)()
            except (Failure, OSError, subprocess.SubprocessError, ValueError) as wrong:
                self.failures.append(f"{name}: {wrong}")

    # ---- what is written

    def facts(self):
        model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
        processor = model.group(1) if model else "unknown processor"
        return {"machine": f"{processor}, {os.cpu_count()} processors, Linux {platform.release()}, "
                           f"{' '.join(platform.libc_ver())}",
                "load at the end": "%.1f" % os.getloadavg()[0], "rounds": self.rounds}

    def render(self, markdown):
        out = [f"- {key}: {value}" if markdown else f"{key}: {value}" for key, value in self.facts().items()]
        head = "### " if markdown else ""
        for title, rows in self.tables:
            out += ["", head + title, *([""] if markdown else []), *grid(rows, markdown)]
        for title, lines in (("Bars", [] if self.options.smoke else self.bars), ("Failures", self.failures)):
            if lines:
                out += ["", head + title, *([""] if markdown else []),
                        *(f"- {line}" if markdown else str(line) for line in lines)]
        return "\n".join(out) + "\n"

    def as_json(self):
        bars = [{"what": b.what, "value": b.value, "limit": b.limit, "unit": b.unit, "met": b.met}
                for b in self.bars]
        return json.dumps({"facts": self.facts(), "tables": dict(self.tables), "bars": bars,
                           "failures": self.failures}, indent=1)


def main():
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="cairn-classic-") as place:
        run = Classic(options, place)
        run.measure()
    print(run.render(False), end="")
    for file, text in ((options.markdown, run.render(True)), (options.json, run.as_json())):
        if file:
            Path(file).write_text(text)
            say(f"wrote {file}")
    missed = options.check and not options.smoke and not all(bar.met for bar in run.bars)
    return 1 if run.failures or missed else 0


if __name__ == "__main__":
    sys.exit(main())
