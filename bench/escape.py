#!/usr/bin/env python3
"""The escape pass in figures: loops over temporaries with and without it, beside Go's and beside local
variables written by hand; and what it costs to compile.

Usage: escape.py --build BUILD [--major N] [--only loops|compile] [--instructions] [--repeats N] [--smoke]
Prints tables in Markdown, as docs/benchmarks.md has them. Compile times are processor time, with and without
in turn, the median of each: about 3 minutes. --instructions counts them instead, by valgrind: the same figure
each time, however busy the machine, in a quarter of an hour.
"""
# SPDX-License-Identifier: MIT
import argparse
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
INCLUDE = HERE.parent / "include"
sys.path.insert(0, str(HERE.parent / "tests/escape"))
from programs import file_of  # noqa: E402


def run(*command, **options):
    return subprocess.run([str(word) for word in command], check=True, text=True, capture_output=True,
                          **options).stdout


def loops(*command):
    """{loop: (ns a step, sum)}"""
    lines = (line.split() for line in run(*command).splitlines())
    return {name: (float(ns), float(total)) for name, ns, total in lines}


def programs(folder, options):
    """(name, command) of all there are."""
    library = options.build / "lib"
    clang = [f"clang++-{options.major}", "-std=c++20", "-O2", "-I", INCLUDE, HERE / "escape/loops.cpp",
             "-L", library, "-lcairn", f"-Wl,-rpath,{library}"]
    run(*clang, "-o", folder / "heap")
    run(*clang, options.plugin, "-o", folder / "stack")
    run(*clang, "-DBY_HAND", "-o", folder / "hand")
    found = [("Cairn, all on the heap", [folder / "heap"]), ("Cairn with the pass", [folder / "stack"]),
             ("local variables by hand", [folder / "hand"])]
    if shutil.which("go"):
        environment = {**os.environ, "GOTOOLCHAIN": "local", "GOPROXY": "off", "GOFLAGS": "", "GOWORK": "off"}
        run("go", "build", "-o", folder / "go", ".", cwd=HERE / "escape/go", env=environment)
        version = run("go", "version").split()[2].removeprefix("go")
        found += [(f"Go {version}, made to escape", [folder / "go", "heap"]),
                  (f"Go {version}", [folder / "go"])]
    return found


def print_loops(folder, options):
    rows = {}
    for name, (program, *words) in programs(folder, options):
        rows[name] = loops(program, options.steps, *words)
    first = next(iter(rows.values()))
    print("| ns a step | " + " | ".join(first) + " |\n|---|" + "---:|" * len(first))
    for name, row in rows.items():
        print(f"| {name} | " + " | ".join(f"{ns:.2f}" for ns, _ in row.values()) + " |")
    wrong = [name for name, row in rows.items() if any(row[loop][1] != first[loop][1] for loop in first)]
    if wrong:
        sys.exit(f"other sums: {wrong}")
    return rows


def processor_time(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(*command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def instructions(command):
    counted = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    done = subprocess.run([*counted, *map(str, command)], check=True, text=True, capture_output=True)
    return int(re.search(r"I +refs: +([\d,]+)", done.stderr)[1].replace(",", ""))


def compile_costs(file, options):
    """(without the pass, with it): seconds or instructions."""
    plain = [f"clang++-{options.major}", "-std=c++20", "-O2", "-w", "-I", INCLUDE, "-c", file, "-o",
             "/dev/null"]
    if options.instructions:
        return instructions(plain), instructions([*plain, options.plugin])
    pairs = [(processor_time(plain), processor_time([*plain, options.plugin]))
             for _ in range(options.repeats)]
    return tuple(map(statistics.median, zip(*pairs)))


def print_compile_costs(folder, options):
    large = folder / "8 random programs in a file"
    large.with_suffix(".cpp").write_text(file_of(range(1, 9)))
    files = [*sorted((HERE.parent / "examples").glob("*.cpp")), large.with_suffix(".cpp")]
    unit, factor = ("10^6 instructions", 1e-6) if options.instructions else ("ms", 1e3)
    print(f"\n| to compile, {unit} | without | with the pass | more |\n|---|---:|---:|---:|")
    total = [0, 0]
    for file in files:
        if "boost" in file.name and not Path("/usr/include/boost/context").exists():
            continue
        without, with_pass = compile_costs(file, options)
        total = [total[0] + without, total[1] + with_pass]
        print_cost(file.stem, without * factor, with_pass * factor)
    print_cost("all", total[0] * factor, total[1] * factor)


def print_cost(name, without, with_pass):
    more = (with_pass / without - 1) * 100
    print(f"| {name} | {without:,.0f} | {with_pass:,.0f} | {more:+.1f} % |", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--major", default="14")
    parser.add_argument("--only", choices=["loops", "compile"])
    parser.add_argument("--instructions", action="store_true")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    options.build = options.build.resolve()
    options.plugin = f"-fpass-plugin={options.build}/lib/libcairn-escape-{options.major}.so"
    options.steps = 20000 if options.smoke else 5000000
    if not shutil.which(f"clang++-{options.major}"):
        sys.exit(f"no clang++-{options.major}")
    with tempfile.TemporaryDirectory() as name:
        if options.only != "compile":
            rows = print_loops(Path(name), options)
            heap, stack = (rows[name]["temporaries"][0]
                           for name in ("Cairn, all on the heap", "Cairn with the pass"))
            print(f"\nthree temporaries a step: {heap / stack:.1f} x faster with the pass (to reach: 10 x)")
        if options.only != "loops" and not options.smoke:
            print_compile_costs(Path(name), options)


if __name__ == "__main__":
    main()
