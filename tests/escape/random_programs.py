#!/usr/bin/env python3
"""Random pointer programs, with and without the escape pass: same output, and nothing for AddressSanitizer.

Usage: random_programs.py MAJOR PLUGIN LIBRARY INCLUDE [--programs N] [--seed S] [--sanitized N]
Each program makes objects, links them, keeps some in globals, holders, closures and vectors, throws, loops
and calls itself; between its steps a function scribbles over the stack below. The collector runs all the
time, so what only a slot keeps alive has to be found there. The seed is the day's unless given: the days make
a long run. At the end the pass is made to move everything, which must be noticed.
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

PROLOGUE = """
#include <cstdio>
#include <cstring>
#include <functional>
#include <vector>
#include "cairn/containers.hpp"
struct N {
    cairn::Ptr<N> a, b;
    long v = 0;
    static constexpr auto cairn_pointers = cairn::pointers(&N::a, &N::b);
};
struct H { N* p; long n; N* q; };
N* globals[4];
long total;
volatile long zero;
using cairn::make;
[[gnu::noinline]] long look(const N* p) {
    long sum = 0;
    for (int i = 0; p != nullptr && i < 6; ++i, p = i & 1 ? p->a : p->b) sum = sum * 3 + p->v;
    return sum;
}
[[gnu::noinline]] long look_held(const H& h) { return look(h.p) + h.n + (h.q != nullptr ? h.q->v : 0); }
[[gnu::noinline]] N* pass(N* p) { ++p->v; return p; }
[[gnu::noinline]] N* pick(N* p, N* q, long n) { return n & 1 ? p : q; }
[[gnu::noinline]] void keep(N* p, long n) { globals[n & 3] = p; }
[[gnu::noinline]] void scribble() {
    volatile long deep[200];
    for (int i = 0; i < 200; ++i) deep[i] = 0x5a5a5a5a5a;
    total += deep[7] & 1;
}
[[gnu::noinline]] N* boxed(N* p) { return make<N>(p, nullptr, 5L); }
"""


class Program:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.lines, self.names, self.depth, self.unique = [], [], 1, 0
        self.functions = self.random.randint(4, 8)

    def say(self, text):
        self.lines.append("    " * self.depth + text)

    def fresh(self):
        self.unique += 1
        return f"x{self.unique}"

    def any(self):
        return self.random.choice(self.names)

    def maybe(self):
        return self.random.choice([self.any(), self.any(), "nullptr"])

    def make(self):
        return f"make<N>({self.maybe()}, {self.maybe()}, {self.random.randint(1, 99)}L + n)"

    def statement(self, level):
        one = self.random.random()
        for share, step in self.steps:
            one -= share
            if one < 0:
                return step(self, level)
        return self.look(level)

    def new(self, level):
        name = self.fresh()
        self.say(f"N* {name} = {self.make()};")
        self.names.append(name)

    def assign(self, level):
        self.say(f"{self.any()} = {self.make()};")

    def link(self, level):
        self.say(f"{self.any()}->{self.random.choice('ab')} = {self.maybe()};")

    def copy(self, level):
        side, source = self.random.choice("ab"), self.any()
        self.say(self.random.choice([
            f"{self.any()} = {source}->{side} ? static_cast<N*>({source}->{side}) : {source};",
            f"{self.any()} = n % {self.random.randint(2, 4)} ? {self.any()} : {self.any()};",
            f"{self.any()} = pass({self.any()});", f"{self.any()} = pick({self.any()}, {self.any()}, n);"]))

    def leak(self, level):
        self.say(self.random.choice([f"keep({self.any()}, n);",
                                     f"globals[{self.random.randint(0, 3)}] = {self.any()};",
                                     f"if (globals[n & 3]) {self.any()} = globals[n & 3];"]))

    def look(self, level):
        self.say(self.random.choice([f"total += look({self.any()});", f"total += {self.any()}->v;",
                                     "scribble();", f"total += look({self.any()}); scribble();",
                                     f"total += look(boxed({self.any()}));"]))

    def holder(self, level):
        name = self.fresh()
        self.say(f"H {name}{{{self.any()}, n, {self.maybe()}}};")
        self.say(f"scribble(); total += look_held({name});")
        if self.random.random() < 0.5:
            self.say(f"H {name}c; std::memcpy(&{name}c, &{name}, sizeof(H)); {self.any()} = {name}c.p;")
        if self.random.random() < 0.3:
            self.say(f"{name}.p = {self.any()}; total += look({name}.p);")

    def closure(self, level):
        caught = self.any()
        kind = self.random.choice(["auto", "std::function<long(long)>"])
        self.say(f"{{ {kind} f = [{caught}](long k) {{ return look({caught}) * k; }}; total += f(n); }}")

    def vector(self, level):
        first, second = self.any(), self.any()
        self.say(f"{{ std::vector<N*, cairn::allocator<N*>> v; v.reserve(4); v.push_back({first});"
                 f" v.push_back({second}); scribble(); total += look(v[n & 1]); {self.any()} = v[1]; }}")

    def thrown(self, level):
        what = self.any() if self.random.random() < 0.3 else "n"
        self.say(f"try {{ if (n & 1) throw {what}; {self.any()}->v += 2; }}"
                 f" catch (N* p) {{ total += p->v; }} catch (long k) {{ total += k; }}")

    def call(self, level):
        which = self.random.randrange(self.functions)
        self.say(f"if (n > 0) {self.any()} = f{which}({self.any()}, n - {self.random.randint(2, 3)});")

    def loop(self, level):
        if level >= 3:
            return self.look(level)
        before = list(self.names)
        self.say(f"for (long i = 0; i < {self.random.randint(2, 5)} + zero; ++i) {{")
        self.block(level)
        if self.random.random() < 0.2:
            self.say(f"    if (look({self.random.choice(before)}) % 7 == 3) break;")
        self.say("}")
        self.names = before

    def branch(self, level):
        if level >= 3:
            return self.look(level)
        before = list(self.names)
        self.say(f"if (n % {self.random.randint(2, 4)} == 0) {{")
        self.block(level)
        self.say("}")
        self.names = before

    def block(self, level):
        self.depth += 1
        for _ in range(self.random.randint(2, 5)):
            self.statement(level + 1)
        self.depth -= 1

    steps = [(0.16, new), (0.08, assign), (0.14, link), (0.12, copy), (0.04, leak), (0.07, holder),
             (0.05, closure), (0.04, vector), (0.03, thrown), (0.05, call), (0.08, loop), (0.05, branch)]

    def text(self):
        for i in range(self.functions):
            self.lines.append(f"N* f{i}(N* p, long n);")
        for i in range(self.functions):
            self.lines.append(f"{self.random.choice(['[[gnu::noinline]] ', '', ''])}N* f{i}(N* p, long n) {{")
            self.names = ["p"]
            self.new(1)
            for _ in range(self.random.randint(14, 28)):
                self.statement(1)
            # mostly what was there before: else all would leave
            result = self.any() if self.random.random() < 0.2 else "p"
            self.lines.append(f"    return {result};\n}}")
        calls = "".join(f"f{i}(make<N>(nullptr, nullptr, k), 5 + k);\n" for i in range(self.functions))
        report = 'std::printf("%ld\\n", total);\n'
        loop = "for (long k = 0; k < 6; ++k) {\n" + calls + report + "}\n"
        main = "\nint main() {\ncairn::scan_static_data(globals);\n" + loop + "}\n"
        return PROLOGUE + "\n".join(self.lines) + main


class Runner:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder

    def build(self, source, name, flags, env=None):
        program = self.folder / name
        library = Path(self.options.library)
        done = subprocess.run(
            [f"clang++-{self.options.major}", "-std=c++20", "-w", *flags, "-I", self.options.include, source,
             "-o", program, f"-L{library.parent}", "-lcairn", f"-Wl,-rpath,{library.parent}"],
            text=True, capture_output=True, env={**os.environ, **(env or {})})
        if done.returncode != 0:
            sys.exit(f"{source} does not compile:\n{done.stderr[:3000]}")
        return program, done.stderr.count("does not escape")

    def run(self, program, env):
        try:
            done = subprocess.run([program], text=True, capture_output=True, timeout=20,
                                  env={**os.environ, **env})
        except subprocess.TimeoutExpired:
            return "it does not end"
        if done.returncode == 0:
            return done.stdout
        return f"exit {done.returncode}\n{done.stdout}{done.stderr[:1500]}"

    def compare(self, seed, sanitized, forced=False):
        """(moved sites, what went wrong)"""
        source = self.folder / "program.cpp"
        source.write_text(Program(seed).text())
        plugin = [f"-fpass-plugin={self.options.plugin}", "-Rpass=escape", "-fno-caret-diagnostics"]
        often = {"CAIRN_GC_PERCENT": "1", "CAIRN_POISON": "on"}
        force = {"CAIRN_ESCAPE_FORCE": "1"} if forced else None
        wanted = self.run(self.build(source, "plain", ["-O1"])[0], often)
        program, moved = self.build(source, "moved", ["-O2", *plugin], force)
        got = self.run(program, often)
        if got != wanted:
            return moved, f"seed {seed}: wanted\n{wanted[:300]}got\n{got[:1500]}"
        if sanitized:
            flags = ["-O1", "-g", "-fsanitize=address", *plugin]
            watch = "detect_leaks=0:detect_stack_use_after_return=1:verify_asan_link_order=0"
            quiet = {"ASAN_OPTIONS": watch, "LD_PRELOAD": self.options.library, "CAIRN_GC": "off"}
            got = self.run(self.build(source, "sanitized", flags, force)[0], quiet)
            if got != wanted:
                return moved, f"seed {seed}, AddressSanitizer: wanted\n{wanted[:300]}got\n{got[:2500]}"
        return moved, ""


def main():
    parser = argparse.ArgumentParser()
    for name in ("major", "plugin", "library", "include"):
        parser.add_argument(name)
    parser.add_argument("--programs", type=int, default=5)
    parser.add_argument("--sanitized", type=int, default=1)
    parser.add_argument("--seed", type=int, default=int(time.time()) // 86400 * 1_000_000)
    options = parser.parse_args()
    if not shutil.which(f"clang++-{options.major}"):
        print(f"no clang++-{options.major}: skipped")
        sys.exit(77)
    failed = sites = 0
    with tempfile.TemporaryDirectory() as name:
        runner = Runner(options, Path(name))
        for i in range(options.programs):
            moved, problem = runner.compare(options.seed + i, i < options.sanitized)
            sites += moved
            if problem:
                failed += 1
                print(problem)
        noticed = any(runner.compare(options.seed + i, False, forced=True)[1] for i in range(3))
    if not noticed:
        print("moving everything changes nothing: the programs do not test the pass")
    print(f"seed {options.seed}: {options.programs} programs, {sites} objects moved, {failed} failed")
    sys.exit(1 if failed or not noticed or sites == 0 else 0)


if __name__ == "__main__":
    main()
