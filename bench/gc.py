#!/usr/bin/env python3
"""Benchmarks of Cairn's collector beside Go, libgc, Java and malloc/free by hand, in one run.

Each round runs every case once on every implementation, one after the other, beginning with another one each
time; figures are medians over the rounds. gc/README.md says what is measured and how to read it.
SPDX-License-Identifier: MIT
"""
import argparse
import json
import os
import platform
import re
import signal
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True

import gc_bars
import gc_report
from gc_peers import find_implementations
from gc_set import CASES
from measure import Failure, Figures, Launcher


def say(words):
    print(words, file=sys.stderr, flush=True)


def arguments():
    parser = argparse.ArgumentParser(description="Benchmarks of Cairn's collector beside its peers.")
    parser.add_argument("--build", default="build/release", help="where bench_gc was built (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of a case (%(default)s)")
    parser.add_argument("--only", default="", metavar="REGEX", help="only cases that match, see --list")
    parser.add_argument("--list", action="store_true", help="name the cases")
    parser.add_argument("--impls", default="", metavar="LIST", help="only these implementations, by comma")
    parser.add_argument("--markdown", metavar="FILE", help="write the tables as Markdown")
    parser.add_argument("--json", metavar="FILE", help="write all figures as JSON")
    parser.add_argument("--svg", metavar="FILE", help="write a chart")
    parser.add_argument("--check", action="store_true", help="exit 1 when a bar is missed")
    parser.add_argument("--smoke", action="store_true", help="one round of tiny sizes: does everything run?")
    chosen = parser.parse_args()
    if chosen.rounds < 1:
        parser.error("--rounds wants 1 or more")
    try:
        re.compile(chosen.only)
    except re.error as wrong:
        parser.error(f"--only: {wrong}")
    return chosen


class Run:
    def __init__(self, options, place):
        self.options, self.place = options, Path(place)
        wanted = [name for name in options.impls.split(",") if name]
        self.implementations, self.missing = find_implementations(options.build, place, wanted)
        self.names = [one.name for one in self.implementations]
        self.rounds = 1 if options.smoke else options.rounds
        self.launcher = Launcher(place)
        self.figures = Figures()
        self.answers = {}
        for one in self.implementations:
            if one.library:
                self.launcher.prove(one)

    def launch(self, one, words, options=()):
        """Runs a program of the set; returns its record and its cost."""
        output = self.place / "record"
        cost, = self.launcher.run(one, words, options=dict(options), stdout=output)
        lines = [line for line in output.read_text().splitlines() if line.startswith("{")]
        if not lines:
            raise Failure("printed no record")
        return json.loads(lines[-1]), cost

    def case(self, case, one):
        words = [*one.command, one.name, *case.words(self.options.smoke)]
        record, cost = self.launch(one, words, one.options)
        if self.answers.setdefault(case.name, record["checksum"]) != record["checksum"]:
            raise Failure(f"checksum {record['checksum']}, not {self.answers[case.name]}")
        if case.costs:
            self.figures.add("time", case.name, one.name, record["seconds"])
            self.figures.add("cpu", case.name, one.name, cost.cpu_s)
            self.figures.add("rss", case.name, one.name, cost.peak_mib)
        for section, label, key, scale in case.figures:
            if key in record:
                self.figures.add(section, label, one.name, record[key] * scale)

    def machine(self):
        """The machine's own limits, and the price of the barrier, where they are built."""
        folder = Path(self.options.build, "bench", "gc").resolve()
        plain = self.implementations[0]
        for objects, label in ((1_000_000, "1 M objects"), (10_000_000, "10 M objects")):
            for threads, who in ((1, "one thread"), (os.cpu_count(), "all processors")):
                size = 20_000 if self.options.smoke else objects
                record, _ = self.launch(plain, [folder / "walk", f"objects={size}", f"threads={threads}"])
                for key, what in (("read", "reading"), ("mark", "with a mark bit")):
                    self.figures.add("walk", f"{label}, {who}, {what}", "machine",
                                     record[f"{key}_million_per_s"])
        if (folder / "barrier").exists():
            record, _ = self.launch(plain, [folder / "barrier", f"rounds={2 if self.options.smoke else 20}"])
            for key in ("raw", "ptr", "over"):
                self.figures.add("barrier", key, "cairn", record[f"{key}_ns"])

    def attempt(self, case, one, action):
        try:
            action()
        except (Failure, OSError, ValueError, KeyError) as wrong:
            self.figures.fail(case, one.name, str(wrong))
            say(f"  FAILED {case} on {one.name}: {wrong}")

    def measure(self):
        cases = [case for case in CASES if re.search(self.options.only, case.name)]
        machine = re.search(self.options.only, "machine")
        if not self.implementations or not (cases or machine):
            raise SystemExit("gc.py: nothing to run: is the target bench_gc built, does --only match?")
        for r in range(self.rounds):
            say(f"round {r + 1} of {self.rounds}: {len(cases)} cases, {len(self.names)} implementations")
            first = r % len(self.implementations)
            turns = self.implementations[first:] + self.implementations[:first]
            for case in (c for c in cases if r < c.rounds):
                say(f"  {case.name}")
                for one in filter(case.takes, turns):
                    self.attempt(case.name, one, lambda: self.case(case, one))
            if machine:
                self.attempt("machine", self.implementations[0], self.machine)

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
            "implementations": ", ".join(self.names),
        }
        if self.missing:
            facts["missing"] = "; ".join(self.missing)
        return facts


def write(path, text):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)
    say(f"wrote {path}")


def verdict(run, held):
    """The exit code: a failure of Cairn's counts always, a missed bar with --check."""
    ours = [line for line in run.figures.failures if " on cairn" in line]
    code = 1 if ours or not run.figures.samples else 0
    if run.options.check and not run.options.smoke:
        if not held:
            say("no bar could be judged: cairn or its peers were not measured")
            code = 1
        for bar in (b for b in held if not b.met):
            say(str(bar))
            code = 1
    return code


def main():
    options = arguments()
    if options.list:
        print("\n".join([case.name for case in CASES] + ["machine"]))
        return 0
    with tempfile.TemporaryDirectory(prefix="cairn-bench-") as place:
        run = Run(options, place)
        for line in run.missing:
            say(f"skipped: {line}")
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            run.measure()
        except KeyboardInterrupt:
            run.missing.append("the rest: the run was interrupted")
        facts = run.facts()
    held = [] if options.smoke else gc_bars.hold(run.figures)
    print(gc_report.render(run.figures, run.names, facts, held))
    if options.markdown:
        write(options.markdown, gc_report.render(run.figures, run.names, facts, held, markdown=True))
    if options.json:
        write(options.json, gc_report.as_json(run.figures, run.names, facts, held))
    if options.svg:
        write(options.svg, gc_report.svg(run.figures, run.names, facts))
    return verdict(run, held)


if __name__ == "__main__":
    sys.exit(main())
