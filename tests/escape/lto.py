#!/usr/bin/env python3
"""A program in two files under full LTO: the pass sees the bodies of the other file.

Usage: lto.py MAJOR PLUGIN LIBRARY INCLUDE. By lld, which loads the plugin at the link (from LLVM 15 on), and
by llvm-link and one more compilation, which every LLVM has; with neither here it says so and is skipped.
ThinLTO, and no LTO, must give the same output with every object on the heap.
"""
# SPDX-License-Identifier: MIT
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent / "lto"
MAJOR, PLUGIN, LIBRARY, INCLUDE = sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4]
CLANG = f"clang++-{MAJOR}"
LINK = ["-O2", f"-L{LIBRARY.parent}", "-lcairn", f"-Wl,-rpath,{LIBRARY.parent}", "-Wl,--wrap=cairn_alloc"]
problems = []


def run(*command):
    done = subprocess.run([str(word) for word in command], text=True, capture_output=True, timeout=120)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stderr[:3000]}")
    return done.stdout, done.stderr


def compiled(folder, name, *flags):
    target = folder / f"{name}.o"
    run(CLANG, "-std=c++20", "-O2", *flags, "-I", INCLUDE, "-c", HERE / f"{name}.cpp", "-o", target)
    return target


def check(program, wanted, what):
    got = run(program)[0].split()
    if got != wanted:
        problems.append(f"{what}: {got}, not {wanted}")


def tool(name):
    """The one of this LLVM; lld is loaded by the linker's name, so any place will do for the rest."""
    return shutil.which(f"{name}-{MAJOR}") or shutil.which(f"/usr/lib/llvm-{MAJOR}/bin/{name}")


def by_lld(folder, counted, value):
    if int(MAJOR) < 15 or not tool("ld.lld"):
        print(f"clang {MAJOR}: no lld that loads a pass: that part is left out")
        return False
    load = [f"-fuse-ld={tool('ld.lld')}", f"-Wl,--load-pass-plugin={PLUGIN}"]
    for kind, wanted in (("full", "0"), ("thin", "2000")):
        flags = (f"-flto={kind}", "-gline-tables-only")
        objects = [compiled(folder, name, *flags) for name in ("here", "there")]
        said = "".join(run(CLANG, *flags, *objects, counted, *LINK, *load, "-Rpass=escape",
                           "-Rpass-missed=escape", "-o", folder / kind))
        check(folder / kind, [value, wanted, "3"], f"-flto={kind} by lld")
        moved = "here.cpp:15:25: Vec3 does not escape: 24 bytes on the stack" in said
        stays = re.search("here.cpp:21:38: Vec3 escapes to heap: .*global 'kept_vec' at .*there.cpp:17", said)
        if kind == "full" and not (moved and stays):
            problems.append(f"-flto={kind} by lld says: {said[:1000]}")
    return True


def by_llvm_link(folder, counted, value):
    if not tool("llvm-link"):
        print(f"no llvm-link-{MAJOR}: that part is left out")
        return False
    objects = [compiled(folder, name, "-flto") for name in ("here", "there")]
    merged = folder / "merged.bc"
    run(tool("llvm-link"), *objects, "-o", merged)
    run(CLANG, "-O2", f"-fpass-plugin={PLUGIN}", "-c", merged, "-o", folder / "merged.o")
    run(CLANG, folder / "merged.o", counted, *LINK, "-o", folder / "merged")
    check(folder / "merged", [value, "0", "3"], "llvm-link")
    return True


def main():
    if not shutil.which(CLANG):
        print(f"no {CLANG}: skipped")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        counted = compiled(folder, "counted")
        objects = [compiled(folder, name, f"-fpass-plugin={PLUGIN}") for name in ("here", "there")]
        run(CLANG, *objects, counted, *LINK, "-o", folder / "apart")
        value, *counts = run(folder / "apart")[0].split()
        if counts != ["2000", "3"]:
            problems.append(f"without LTO: {counts}")
        tried = [by_lld(folder, counted, value), by_llvm_link(folder, counted, value)]
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0 if any(tried) else 77)


if __name__ == "__main__":
    main()
