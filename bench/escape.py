#!/usr/bin/env python3
"""The escape pass in figures: loops over temporaries with and without it, beside Go's, and what it costs to
compile.

Usage: escape.py --build BUILD [--major N] [--smoke]. Prints tables in Markdown, as docs/escape.md has them.
"""
# SPDX-License-Identifier: MIT
import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
INCLUDE = HERE.parent / "include"


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
    found = [("Cairn, all on the heap", [folder / "heap"]), ("Cairn with the pass", [folder / "stack"])]
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


def compile_time(file, flags, repeats):
    best = 1e9
    for _ in range(repeats):
        begin = time.perf_counter()
        run(*flags, "-c", file, "-o", "/dev/null")
        best = min(best, time.perf_counter() - begin)
    return best


def print_compile_times(options):
    plain = [f"clang++-{options.major}", "-std=c++20", "-O2", "-w", "-I", INCLUDE]
    print("\n| ms to compile | without | with the pass | more |\n|---|---:|---:|---:|")
    for file in ("examples/lru_server.cpp", "examples/weak_cache.cpp", "tests/escape/cases.cpp"):
        path = HERE.parent / file
        without = compile_time(path, plain, options.repeats)
        with_pass = compile_time(path, [*plain, options.plugin], options.repeats)
        more = (with_pass / without - 1) * 100
        print(f"| {file} | {without * 1e3:.0f} | {with_pass * 1e3:.0f} | {more:+.1f} % |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--major", default="14")
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    options.build = options.build.resolve()
    options.plugin = f"-fpass-plugin={options.build}/lib/libcairn-escape-{options.major}.so"
    options.steps, options.repeats = (20000, 1) if options.smoke else (5000000, 5)
    if not shutil.which(f"clang++-{options.major}"):
        sys.exit(f"no clang++-{options.major}")
    with tempfile.TemporaryDirectory() as name:
        rows = print_loops(Path(name), options)
    if not options.smoke:
        print_compile_times(options)
    heap, stack = (rows[name]["temporaries"][0] for name in ("Cairn, all on the heap", "Cairn with the pass"))
    print(f"\nthree temporaries a step: {heap / stack:.1f} x faster with the pass (to reach: 10 x)")


if __name__ == "__main__":
    main()
