#!/usr/bin/env python3
"""Benchmarks of Cairn beside its peers in one run: micro cases, whole programs, start-up, memory given back.

A round runs every case once on every allocator, one after the other, so that whatever the machine does
meanwhile falls on all of them; the next round starts with another one. Figures are medians over the rounds.
README.md beside this file says how to read them.
SPDX-License-Identifier: MIT
"""
import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True

import bars
import chart
import memory_set
import report
from measure import Failure, Figures, HERE, Launcher, find_allocators
from program_set import prepare_programs


def say(words):
    print(words, file=sys.stderr, flush=True)


def arguments():
    parser = argparse.ArgumentParser(description="Benchmarks of Cairn beside its peers.")
    parser.add_argument("--build", default="build/release", help="where Cairn is built (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="runs of a case on an allocator (%(default)s)")
    parser.add_argument("--only", choices=["micro", "programs", "start", "memory"],
                        help="one of the four sets")
    parser.add_argument("--filter", default="", metavar="REGEX", help="only cases that match")
    parser.add_argument("--allocators", default="", metavar="LIST", help="only these, by comma")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=LIB",
                        help="one more library to preload, or another one by a known name")
    parser.add_argument("--markdown", metavar="FILE", help="write the tables as Markdown")
    parser.add_argument("--json", metavar="FILE", help="write all figures as JSON")
    parser.add_argument("--svg", metavar="FILE", help="write a chart")
    parser.add_argument("--check", action="store_true", help="exit 1 when a bar is missed")
    parser.add_argument("--smoke", action="store_true", help="one round of tiny sizes: does everything run?")
    chosen = parser.parse_args()
    if chosen.rounds < 1:
        parser.error("--rounds wants 1 or more")
    try:
        re.compile(chosen.filter)
    except re.error as wrong:
        parser.error(f"--filter: {wrong}")
    return chosen


class Run:
    def __init__(self, options, place):
        self.options = options
        self.place = Path(place)
        wanted = [name for name in options.allocators.split(",") if name]
        self.allocators, self.missing = find_allocators(options.build, options.peer, wanted)
        self.names = [a.name for a in self.allocators]
        self.rounds = 1 if options.smoke else options.rounds
        self.launcher = Launcher(place)
        self.figures = Figures()
        for a in self.allocators:
            self.launcher.prove(a)

    def wants(self, which):
        return self.options.only in (None, which)

    def chosen(self, case):
        return re.search(self.options.filter, case) is not None

    def benchmark(self, name):
        """The program of the build, or one made here when there is none."""
        built = Path(self.options.build, "bench", name)
        if built.exists():
            return str(built.resolve())
        say(f"no {built}: compiling it")
        made = self.place / name
        compiler = shutil.which("c++") or shutil.which("g++")
        subprocess.run([compiler, "-std=c++20", "-O2", "-fno-builtin", "-pthread", HERE / f"{name}.cpp",
                        "-o", made], check=True)
        return str(made)

    def turns(self, round_number):
        """The allocators, each round beginning with another."""
        first = round_number % len(self.allocators)
        return self.allocators[first:] + self.allocators[:first]

    def attempt(self, case, allocator, action):
        try:
            action()
        except (Failure, OSError, subprocess.SubprocessError, ValueError) as wrong:
            self.figures.fail(case, allocator.name, str(wrong))
            say(f"  FAILED {case} on {allocator.name}: {wrong}")

    def micro_case(self, program, case, allocator):
        """One process a case: no case finds the heap that another has shaped."""
        output = self.place / "micro.out"
        effort = ["--smoke"] if self.options.smoke else ["--repeats", "7", "--repeat-ms", "15"]
        cost, = self.launcher.run(allocator, [program, "--case", case, *effort], stdout=output)
        self.figures.add("micro", case, allocator.name, json.loads(output.read_text())[case])
        self.figures.add("micro_rss", case, allocator.name, cost.peak_mib)

    def program_case(self, program, allocator):
        cost = program.run(allocator)
        self.figures.add("wall", program.name, allocator.name, cost.wall_s)
        self.figures.add("cpu", program.name, allocator.name, cost.cpu_s)
        self.figures.add("rss", program.name, allocator.name, cost.peak_mib)

    def start_case(self, allocator):
        empty, output = self.launcher.empty, self.place / "rss.out"
        for cost in self.launcher.run(allocator, [empty], repeat=5 if self.options.smoke else 40):
            self.figures.add("start", "time", allocator.name, cost.wall_s * 1000)
        for _ in range(1 if self.options.smoke else 5):
            self.launcher.run(allocator, [empty, "rss"], stdout=output)
            self.figures.add("start", "rss", allocator.name, int(output.read_text()) / 1024)

    def memory_cases(self):
        program, smoke = self.benchmark("memory"), self.options.smoke
        if self.chosen("spike"):
            say("memory: a spike, then idling")
            for a, kept in memory_set.spikes(self.launcher, program, self.allocators, smoke):
                if isinstance(kept, Exception):
                    self.figures.fail("spike", a.name, str(kept))
                else:
                    self.figures.add("memory", "spike", a.name, kept)
        if self.chosen("limit"):
            say("memory: a limit")
            for a in self.allocators:
                if a.name in ("cairn", "glibc"):
                    self.attempt("limit", a, lambda: self.figures.add(
                        "memory", "limit", a.name, memory_set.limited(self.launcher, program, a, smoke)))

    def measure(self):
        micro, cases, programs = None, [], []
        if self.wants("micro"):
            micro = self.benchmark("micro")
            listed = subprocess.run([micro, "--list"], check=True, capture_output=True, text=True).stdout
            cases = [c for c in (line.split()[0] for line in listed.splitlines()) if self.chosen(c)]
        if self.wants("programs"):
            programs, absent = prepare_programs(self.launcher, self.options.smoke, self.chosen)
            self.missing += absent
        start = self.wants("start") and self.chosen("start")
        memory = self.wants("memory") and (self.chosen("spike") or self.chosen("limit"))
        if not (cases or programs or start or memory):
            raise SystemExit(f"run.py: nothing matches '{self.options.filter}'")
        for r in range(self.rounds if cases or programs or start else 0):
            say(f"round {r + 1} of {self.rounds}: {len(cases)} micro cases, {len(programs)} programs, "
                f"{len(self.allocators)} allocators")
            for case in cases:
                for a in self.turns(r):
                    self.attempt(case, a, lambda: self.micro_case(micro, case, a))
            for program in programs:
                say(f"  {program.name}")
                for a in self.turns(r):
                    self.attempt(program.name, a, lambda: self.program_case(program, a))
            if start:
                for a in self.turns(r):
                    self.attempt("start-up", a, lambda: self.start_case(a))
        if memory:
            self.memory_cases()

    def facts(self):
        processor = "unknown processor"
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                processor = line.split(":", 1)[1].strip()
                break
        facts = {
            "machine": f"{processor}, {os.cpu_count()} processors, Linux {platform.release()}, "
                       f"{' '.join(platform.libc_ver())}",
            "load at the end": "%.1f" % os.getloadavg()[0],
            "rounds": self.rounds,
            "allocators": ", ".join(f"{a.name} ({a.library or 'plain'})" for a in self.allocators),
        }
        if "redis" in self.figures.cases("wall"):
            facts["redis"] = "Debian's server links jemalloc; its glibc row preloads libc.so.6 to be on glibc"
        if self.missing:
            facts["missing"] = "; ".join(self.missing)
        return facts


def write(path, text):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)
    say(f"wrote {path}")


def verdict(run, held):
    """The exit code: a failure of Cairn's counts always, a missed bar with --check."""
    code = 0
    ours = [line for line in run.figures.failures if " on cairn: " in line]
    if ours:
        say(f"cairn failed {len(ours)} of the cases")
        code = 1
    if run.options.check and not run.options.smoke:
        if not held:
            say("no bar could be judged: cairn or its peers were not measured")
            code = 1
        for bar in held:
            if not bar.met:
                say(str(bar))
                code = 1
    return code


def main():
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="cairn-bench-") as place:
        run = Run(options, place)
        for line in run.missing:
            say(f"skipped: {line}")
        run.measure()
        facts = run.facts()
        held = [] if options.smoke else bars.hold(run.figures, run.names, whole=not options.filter)
    print(report.render(run.figures, run.names, facts, held))
    if options.markdown:
        write(options.markdown, report.render(run.figures, run.names, facts, held, markdown=True))
    if options.json:
        write(options.json, report.as_json(run.figures, run.names, facts, held))
    if options.svg:
        write(options.svg, chart.svg(run.figures, run.names, facts))
    return verdict(run, held)


if __name__ == "__main__":
    sys.exit(main())
