#!/usr/bin/env python3
"""Random pointer programs, with and without the escape pass: same output, and nothing for AddressSanitizer.

Usage: random_programs.py MAJOR PLUGIN LIBRARY INCLUDE [--programs N] [--seed S] [--sanitized N] [--batch N]
programs.py writes them, a batch to a file, so that headers are read once. The collector runs all the time, so
what only a slot keeps alive has to be found there. A batch that differs is looked into for the program that
does, which is then built by itself. The seed is the day's unless given: the days make a long run. At the end
the pass is made to move everything, which must be noticed.
"""
# SPDX-License-Identifier: MIT
import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from programs import file_of

OFTEN = {"CAIRN_GC_PERCENT": "1", "CAIRN_POISON": "on"}
LEVELS = ["-O2", "-O2", "-O2", "-O1", "-O3", "-Os"]
SETTINGS = [{}, {}, {}, {"CAIRN_ESCAPE_MAX": "64K"}, {"CAIRN_ESCAPE_TRUST_INLINE": "1"}]


class Runner:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.library = Path(options.library)

    def build(self, source, name, flags, env=None):
        program = self.folder / name
        done = subprocess.run(
            [f"clang++-{self.options.major}", "-std=c++20", "-w", *flags, "-I", self.options.include, source,
             "-o", program, f"-L{self.library.parent}", "-lcairn", f"-Wl,-rpath,{self.library.parent}",
             "-pthread"], text=True, capture_output=True, env={**os.environ, **(env or {})})
        if done.returncode != 0:
            kept = shutil.copy(source, Path(tempfile.gettempdir()) / "cairn-does-not-compile.cpp")
            said = "\n".join(line for line in done.stderr.splitlines() if ": remark: " not in line)
            sys.exit(f"{kept} does not compile or link:\n{said[:3000]}")
        return program, done.stderr.count("does not escape")

    def run(self, program, env):
        """{seed: its lines}, and how it ended if not well."""
        outputs = {}
        try:
            done = subprocess.run([program], text=True, capture_output=True, env={**os.environ, **env},
                                  timeout=60 + 5 * self.options.batch)
            text, end = done.stdout, f"exit {done.returncode}\n{done.stderr[:3000]}" * (done.returncode != 0)
        except subprocess.TimeoutExpired as late:
            text, end = (late.stdout or b"").decode(), "it does not end"
        for line in text.splitlines():
            outputs.setdefault(int(line.split()[0]), []).append(line)
        return outputs, end

    def judge(self, seeds, level, setting, sanitized):
        """(moved sites, the first program that is wrong, what is wrong)"""
        source = self.folder / "program.cpp"
        source.write_text(file_of(seeds))
        plugin = [f"-fpass-plugin={self.options.plugin}", "-Rpass=escape", "-fno-caret-diagnostics"]
        wanted, end = self.run(self.build(source, "plain", ["-O0"])[0], OFTEN)
        if end:
            return 0, min(set(seeds) - set(wanted), default=seeds[-1]), f"without the pass: {end}"
        program, moved = self.build(source, "moved", [level, *plugin], setting)
        runs = [("", self.run(program, OFTEN))]
        if sanitized:
            flags = ["-O1", "-fsanitize=address", "-gline-tables-only", *plugin]
            watch = "detect_leaks=0:detect_stack_use_after_return=1:verify_asan_link_order=0"
            quiet = {"ASAN_OPTIONS": watch, "LD_PRELOAD": self.options.library, "CAIRN_GC": "off"}
            runs.append(("under AddressSanitizer, ",
                         self.run(self.build(source, "sanitized", flags, setting)[0], quiet)))
        for where, (got, end) in runs:
            for seed in seeds:
                if got.get(seed) != wanted[seed]:
                    return moved, seed, f"{where}wanted {wanted[seed]}, got {got.get(seed)} {end}"
            if end:
                return moved, seeds[-1], where + end
        return moved, None, ""

    def has_sanitizer(self):
        empty = self.folder / "empty.cpp"
        empty.write_text("int main() {}\n")
        return subprocess.run([f"clang++-{self.options.major}", "-fsanitize=address", empty, "-o",
                               self.folder / "empty"], capture_output=True).returncode == 0

    def compare(self, seeds, sanitized):
        """(moved sites, what went wrong)"""
        chosen = random.Random(seeds[0])
        level, setting = chosen.choice(LEVELS), chosen.choice(SETTINGS)
        moved, seed, problem = self.judge(seeds, level, setting, sanitized)
        if seed is None:
            return moved, ""
        alone = self.judge([seed], level, setting, sanitized)[2] or "nothing wrong"
        return moved, (f"seed {seed} among {seeds[0]} to {seeds[-1]}, {level} {setting}: {problem}\n"
                       f"    by itself: {alone}")

    def notices(self, seeds):
        """The pass is made to move everything: is that seen?"""
        return self.judge(seeds, "-O2", {"CAIRN_ESCAPE_FORCE": "1"}, False)[2] != ""


def read_options():
    parser = argparse.ArgumentParser()
    for name in ("major", "plugin", "library", "include"):
        parser.add_argument(name)
    parser.add_argument("--programs", type=int, default=40)
    parser.add_argument("--sanitized", type=int, default=20)
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--seed", type=int, default=int(time.time()) // 86400 * 1_000_000)
    return parser.parse_args()


def main():
    options = read_options()
    if not shutil.which(f"clang++-{options.major}"):
        print(f"no clang++-{options.major}: skipped")
        sys.exit(77)
    failed = sites = 0
    with tempfile.TemporaryDirectory() as name:
        runner = Runner(options, Path(name))
        if options.sanitized > 0 and not runner.has_sanitizer():
            print(f"clang {options.major} has no AddressSanitizer here: left out")
            options.sanitized = 0
        for first in range(0, options.programs, options.batch):
            seeds = range(options.seed + first, options.seed + min(first + options.batch, options.programs))
            moved, problem = runner.compare(seeds, first < options.sanitized)
            sites += moved
            if problem:
                failed += 1
                print(problem, flush=True)
        noticed = runner.notices(range(options.seed, options.seed + options.batch))
    if not noticed:
        print("moving everything changes nothing: the programs do not test the pass")
    print(f"clang {options.major}, seed {options.seed}: {options.programs} programs, {options.sanitized} of "
          f"them sanitized, {sites} objects moved, {failed} failed")
    sys.exit(1 if failed or not noticed or sites == 0 else 0)


if __name__ == "__main__":
    main()
