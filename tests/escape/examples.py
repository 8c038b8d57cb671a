#!/usr/bin/env python3
"""The examples, built by one clang with and without the escape pass, print the same while the collector
checks itself (CAIRN_VERIFY=1); and the pass did something to them.

Usage: examples.py MAJOR PLUGIN LIBRARY SOURCE_DIR. Amounts of memory, cycles and times are not compared, for
they depend on when a cycle runs; nor are digits in lines that differ between two runs of the plain program.
"""
# SPDX-License-Identifier: MIT
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

MAJOR, PLUGIN, LIBRARY, SOURCE = sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])
CLANG = f"clang++-{MAJOR}"
problems = []


def build(example, program, *flags):
    """What the compiler said; None when it lacks what the example needs."""
    more = ["-lboost_context"] if example.stem.startswith("boost_") else []
    library = [f"-L{LIBRARY.parent}", "-lcairn", f"-Wl,-rpath,{LIBRARY.parent}", *more, "-pthread"]
    command = [CLANG, "-std=c++20", "-O2", "-fno-caret-diagnostics", *flags, "-I", SOURCE / "include",
               example, *library, "-o", program]
    done = subprocess.run(command, text=True, capture_output=True, timeout=120)
    if done.returncode != 0 and "boost" in done.stderr:
        return None
    if done.returncode != 0:
        problems.append(f"{example.name} does not build: {done.stderr[:1000]}")
        return None
    return done.stderr


def without_amounts(line):
    return re.sub(r"\d[\d.]*(?= (MB|cycles|us)\b)", "#", line)


def run(program):
    environment = {**os.environ, "CAIRN_VERIFY": "1"}
    try:
        done = subprocess.run([program], text=True, capture_output=True, timeout=60, env=environment)
    except subprocess.TimeoutExpired:
        problems.append(f"{program.name}: it does not end")
        return []
    if done.returncode != 0:
        problems.append(f"{program.name}: exit {done.returncode}: {done.stderr[:1000]}")
    return [without_amounts(line) for line in done.stdout.splitlines()]


def differ(expected, again, got):
    """Lines of `got` that are not as expected, beyond what two plain runs differ by."""
    if len(expected) != len(again):
        return []  # it prints as long as it likes
    if len(got) != len(expected):
        return [f"{len(got)} lines, not {len(expected)}"]
    wrong = []
    for one, other, mine in zip(expected, again, got):
        shape = [re.sub(r"[\d.]+", "#", line) for line in (one, mine)]
        if mine != one and (one == other or shape[0] != shape[1]):
            wrong.append(f"'{mine}', not '{one}'")
    return wrong


def main():
    if not shutil.which(CLANG):
        print(f"no {CLANG}: skipped")
        sys.exit(77)
    decided = 0
    with tempfile.TemporaryDirectory() as name:
        for example in sorted((SOURCE / "examples").glob("*.cpp")):
            plain, moved = Path(name) / example.stem, Path(name) / f"{example.stem}_moved"
            if build(example, plain) is None:
                print(f"{example.name}: left out")
                continue
            said = build(example, moved, f"-fpass-plugin={PLUGIN}", "-Rpass=escape", "-Rpass-missed=escape")
            if said is None:
                continue
            decided += len(re.findall(r"remark: .*(?:does not escape|escapes to heap)", said))
            expected = run(plain)
            for wrong in differ(expected, run(plain), run(moved)):
                problems.append(f"{example.name} with the pass: {wrong}")
    if decided < 10:
        problems.append(f"only {decided} remarks on all examples: the pass was not there")
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
