#!/usr/bin/env python3
"""Clients of the Boehm collector on Cairn's libgc.so.1 and on the system's: time, memory, stops.

usage: libgc.py --build DIR [--runs N | --starts N | --calls N] [--programs LIST] [--newer DIR] [--json FILE]
                [--smoke]

Each program runs N times on each library in turn, the first round being thrown away where N > 1; the best
time counts, memory of that run. What they print must be equal. The longest stop comes from one more run, in
which ours reports it (CAIRN_REPORT) and the original tells each (GC_PRINT_STATS). --newer: a folder with
another build of the original. Programs that are not installed are left out, and said.

--starts: only how long a program takes that does nothing, N times on each library in turn; the median of
each, and of the differences between runs that follow each other.

--calls: only what single calls take (libgc/calls.c), of one thread and of two at once, with next to nothing
alive in a heap of 16 MiB; a process each that tells the median of five repeats, N times on each library in
turn, and the median of those. What they find must be equal.

--programs: words of the names of what is to be measured, with commas between. --smoke: a bit of all three.
"""
# SPDX-License-Identifier: MIT
import argparse
import json
import math
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ORIGINAL = Path("/usr/lib/x86_64-linux-gnu")
PROGRAMS = {
    "guile cons": ["guile", "--no-auto-compile", "WORK/cons.go.scm"],
    "guile trees": ["guile", "--no-auto-compile", "WORK/trees.go.scm"],
    "guile weak": ["guile", "--no-auto-compile", "WORK/weak.go.scm"],
    "guile digits": ["guile", "--no-auto-compile", "WORK/digits.go.scm"],
    "ecl trees": ["ecl", "--norc", "--shell", "HERE/trees.lisp"],
    "ecl hash": ["ecl", "--norc", "--shell", "HERE/hash.lisp"],
    "w3m": ["w3m", "-dump", "WORK/page.html"],
    "nix": ["nix-instantiate", "--eval", "--strict", "--arg", "many", "400000", "--arg", "deep", "26",
            "HERE/../../tests/libgc/clients/values.nix"],
    "asy": ["asy", "-noV", "-f", "eps", "-o", "WORK/out", "HERE/draw.asy"],
    "C trees": ["WORK/trees"],
}
# What starts and ends.
STARTS = {
    "C": ["WORK/empty"],
    "guile": ["guile", "--no-auto-compile", "-c", "1"],
    "ecl": ["ecl", "--norc", "--eval", "(ext:quit)"],
    "w3m": ["w3m", "-dump", "WORK/empty.html"],
    "neko": ["neko", "-version"],
    "nix": ["nix-instantiate", "--eval", "-E", "1"],
    "maxima": ["maxima-sage", "--batch-string=1;"],
}
# Of libgc/calls.c: name -> its case, the bytes it is about, operations of one thread, of each of two.
CALLS = {
    **{f"GC_{call}({size})": (case, size, 64_000_000 // max(size, 64), 16_000_000 // max(size, 64))
       for call, case, sizes in (("malloc", "malloc", (16, 32, 64, 256)),
                                 ("malloc_atomic", "atomic", (16, 64, 256))) for size in sizes},
    "GC_malloc_many(16), an object": ("many", 16, 2_000_000, 500_000),
    "GC_malloc_many(64), an object": ("many", 64, 1_000_000, 250_000),
    **{f"GC_malloc({size}), GC_free": ("pair", size, 1_000_000, 500_000) for size in (16, 64, 1024)},
    "GC_malloc_atomic(64), GC_free": ("atomic_pair", 64, 1_000_000, 500_000),
    "GC_malloc(64), GC_free 1024 later": ("queue", 64, 1_000_000, 500_000),
    "GC_realloc, doubling to 4096": ("realloc", 4096, 500_000, 250_000),
    "GC_base": ("base", 2000, 2_000_000, 2_000_000),
    "GC_size": ("size", 2000, 2_000_000, 2_000_000),
    "GC_is_heap_ptr": ("is_heap_ptr", 2000, 2_000_000, 2_000_000),
    "GC_call_with_alloc_lock": ("alloc_lock", 16, 2_000_000, 500_000),
    "a link registered, unregistered": ("links", 64, 500_000, 250_000),
}
# Else the original, with next to nothing alive, would collect every 100 KB: its stops would be all one sees.
CALLS_SETTINGS = {"GC_INITIAL_HEAP_SIZE": str(16 << 20)}


def make_page(file):
    """Tables and text for w3m: 2 MB, the same each time."""
    chance = random.Random(1)
    with open(file, "w") as page:
        page.write("<html><body>\n")
        for _ in range(250):
            page.write("<table border=1>\n")
            for row in range(60):
                cells = "".join(f"<td><b>{chance.random()}</b> word{row}</td>" for _ in range(5))
                page.write(f"<tr>{cells}</tr>\n")
            words = " ".join(chance.choice(["alpha", "beta", "gamma"]) for _ in range(100))
            page.write(f"</table><p>{words}")


def prepare(work):
    make_page(work / "page.html")
    for source in HERE.glob("libgc/*.scm") if shutil.which("guile") else []:
        # Compiled beforehand; the program then only loads it.
        compile_it = (f'(use-modules (system base compile)) '
                      f'(compile-file "{source}" #:output-file "{work}/{source.stem}.go")')
        subprocess.run(["guile", "-c", compile_it], capture_output=True, check=True)
        (work / f"{source.stem}.go.scm").write_text(f'(load-compiled "{work}/{source.stem}.go")\n')
    (work / "empty.html").write_text("<p>nothing\n")
    text = "#include <gc.h>\nint main(void) { GC_INIT(); return GC_MALLOC(16) == NULL; }\n"
    (work / "empty.c").write_text(text)
    headers = HERE.parent / "include/cairn/compat"
    for source in (HERE / "libgc/trees.c", HERE / "libgc/calls.c", work / "empty.c"):
        subprocess.run(["gcc", "-O2", "-DGC_THREADS", "-isystem", headers, source, "-o",
                        work / source.stem, ORIGINAL / "libgc.so.1", "-lpthread"], check=True)


def run(command, library, work, settings=None):
    """(seconds, CPU seconds, peak KiB, output, errors) of one run."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("CAIRN_", "GC_", "LD_"))}
    env |= {"LD_LIBRARY_PATH": str(library), "HOME": str(work), "LC_ALL": "C.UTF-8"} | (settings or {})
    out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
    start = time.monotonic()
    child = subprocess.Popen(command, env=env, stdout=out, stderr=err, stdin=subprocess.DEVNULL, cwd=work)
    _, status, used = os.wait4(child.pid, 0)
    seconds = time.monotonic() - start
    child.returncode = status
    out.seek(0), err.seek(0)
    if status != 0:
        raise RuntimeError(f"{command} on {library}: status {status}: {err.read()[-300:]!r}")
    cpu = used.ru_utime + used.ru_stime
    return seconds, cpu, used.ru_maxrss, out.read(), err.read().decode(errors="replace")


def longest_stop(command, library, work, is_ours):
    """Milliseconds, and collections."""
    if is_ours:
        report = work / "report.json"
        report.unlink(missing_ok=True)
        run(command, library, work, {"CAIRN_REPORT": f"json:{report}"})
        told = json.loads(report.read_text())["collector"]
        return told["stop_max_ns"] / 1e6, told["cycles"]
    told = run(command, library, work, {"GC_PRINT_STATS": "1"})[4]
    stops = [int(ms) + int(ns) / 1e6 for ms, ns in
             re.findall(r"(?:World-stopped marking|Complete collection) took (\d+) ms (\d+) ns", told)]
    return max(stops, default=0), told.count("World-stopped marking took")


def command_of(words, work):
    replace = {"HERE": str(HERE / "libgc"), "WORK": str(work)}
    return [re.sub("HERE|WORK", lambda found: replace[found.group()], word) for word in words]


def measure_start(name, words, libraries, work, runs):
    """library -> median ms; "difference" -> the median of ours less the original's, run by run."""
    command = command_of(words, work)
    times = {library: [] for library in libraries}
    for round_ in range(runs + 1):
        for library in list(libraries)[::1 if round_ % 2 else -1]:
            seconds = run(command, libraries[library], work)[0]
            if round_ > 0:
                times[library].append(seconds * 1e3)
    pairs = zip(times["cairn"], times["libgc"])
    return {library: statistics.median(row) for library, row in times.items()} | {
        "difference": statistics.median(ours - theirs for ours, theirs in pairs)}


def start_table(results, libraries):
    lines = ["| program that does nothing | " + " | ".join(f"{library}, ms" for library in libraries)
             + " | difference, ms |", "|---|" + "---:|" * (len(libraries) + 1)]
    for name, row in results.items():
        cells = [f"{row[library]:.1f}" for library in libraries] + [f"{row['difference']:+.2f}"]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def measure_calls(name, case, libraries, work, runs):
    """library -> median ns of one thread, and of each of two at once."""
    what, size, *operations = case
    times = {library: ([], []) for library in libraries}
    for threads, count in enumerate(operations, start=1):
        found = set()
        for round_ in range(runs):
            for library in list(libraries)[::1 if round_ % 2 else -1]:
                words = [what, str(size), str(count), str(threads)]
                told = run([work / "calls", *words], libraries[library], work, CALLS_SETTINGS)[3]
                ns, sum_ = told.split()
                times[library][threads - 1].append(float(ns))
                found.add(sum_)
        if len(found) != 1:
            raise RuntimeError(f"{name} finds something else on one library: {found}")
    return {library: [statistics.median(row) for row in rows] for library, rows in times.items()}


def calls_table(results, libraries):
    heads = [f"{column}, {threads}" for threads in ("1 thread", "2 threads")
             for column in [*libraries, "ratio"]]
    lines = ["| ns a call | " + " | ".join(heads) + " |", "|---|" + "---:|" * len(heads)]
    ratios = [[], []]
    for name, row in results.items():
        cells = []
        for threads in (0, 1):
            ratio = row["cairn"][threads] / row["libgc"][threads]
            ratios[threads].append(ratio)
            cells += [f"{row[library][threads]:.1f}" for library in libraries] + [f"{ratio:.2f}"]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    blank = " |" * len(libraries)
    lines.append("| geometric mean |" + "".join(f"{blank} {geometric(row):.2f} |" for row in ratios))
    return "\n".join(lines)


def measure(name, words, libraries, work, runs):
    command = command_of(words, work)
    rows, printed = {}, None
    for round_ in range(runs):
        for library, folder in libraries.items():
            result = run(command, folder, work)
            printed = result[3] if printed is None else printed
            if result[3] != printed:
                raise RuntimeError(f"{name} prints something else on {library}")
            if round_ == 0 and runs > 1:
                continue
            if library not in rows or result[0] < rows[library][0]:
                rows[library] = result[:3]
    return {library: {"wall_s": row[0], "cpu_s": row[1], "peak_mib": row[2] / 1024,
                      **dict(zip(("stop_ms", "cycles"),
                                 longest_stop(command, libraries[library], work, library == "cairn")))}
            for library, row in rows.items()}


def geometric(values):
    return math.exp(sum(math.log(value) for value in values) / len(values))


def table(results, libraries):
    lines = ["| program | " + " | ".join(f"{library}: wall s / CPU s / MiB / stop ms / cycles"
                                         for library in libraries) + " | wall | memory |",
             "|---|" + "---|" * (len(libraries) + 2)]
    for name, rows in results.items():
        cells = [f"{row['wall_s']:.2f} / {row['cpu_s']:.2f} / {row['peak_mib']:.0f} / {row['stop_ms']:.1f} / "
                 f"{row['cycles']}" for row in rows.values()]
        ours, theirs = rows["cairn"], rows["libgc"]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {ours['wall_s'] / theirs['wall_s']:.2f} | "
                     f"{ours['peak_mib'] / theirs['peak_mib']:.2f} |")
    wall = geometric([rows["cairn"]["wall_s"] / rows["libgc"]["wall_s"] for rows in results.values()])
    memory = geometric([rows["cairn"]["peak_mib"] / rows["libgc"]["peak_mib"] for rows in results.values()])
    lines.append("| geometric mean |" + " |" * len(libraries) + f" {wall:.2f} | {memory:.2f} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--starts", type=int, default=0)
    parser.add_argument("--calls", type=int, default=0)
    parser.add_argument("--programs", default="")
    parser.add_argument("--newer", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    libraries = {"cairn": (options.build / "lib/libgc").resolve(), "libgc": ORIGINAL}
    if options.newer:
        libraries["newer libgc"] = options.newer.resolve()
    wanted = [name.strip() for name in options.programs.split(",") if name.strip()]
    work = Path(tempfile.mkdtemp(prefix="cairn-bench-libgc-"))

    def measure_all(programs, by, runs):
        results = {}
        for name, words in programs.items():
            if wanted and not any(part in name for part in wanted):
                continue
            if by is not measure_calls and not words[0].startswith("WORK") and not shutil.which(words[0]):
                print(f"{name}: {words[0]} is not installed", file=sys.stderr)
                continue
            results[name] = by(name, words, libraries, work, runs)
            print(f"{name}: {results[name]}", file=sys.stderr, flush=True)
        return results

    parts = {}
    try:
        prepare(work)
        if not options.starts and not options.calls:
            parts["programs"] = measure_all(PROGRAMS, measure, 1 if options.smoke else options.runs)
            print(table(parts["programs"], libraries))
        if options.starts or options.smoke:
            parts["starts"] = measure_all(STARTS, measure_start, options.starts or 1)
            print(start_table(parts["starts"], libraries))
        if options.calls or options.smoke:
            few = {name: (*case[:2], case[2] // 100, case[3] // 100) for name, case in CALLS.items()}
            calls = few if options.smoke else CALLS
            parts["calls"] = measure_all(calls, measure_calls, options.calls or 1)
            print(calls_table(parts["calls"], libraries))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if options.json:
        options.json.write_text(json.dumps(parts, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
