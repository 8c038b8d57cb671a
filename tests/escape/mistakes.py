#!/usr/bin/env python3
"""What cannot work says so in one line: a plugin in a clang of another major, another compiler, -O0.

Usage: mistakes.py LIBRARY_DIR INCLUDE CXX. Tries every plugin of LIBRARY_DIR in every clang for which there
is one. Some clangs refuse the wrong one by themselves, which is an error in one line too.
"""
# SPDX-License-Identifier: MIT
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER, INCLUDE, CXX = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
PROGRAM = """
#include "cairn/cairn.hpp"
long made() { long* p = cairn::make<long>(3); return *p; }
"""
problems = []


def compiled(folder, compiler, *flags):
    """(exit code, what was said)"""
    done = subprocess.run([compiler, "-std=c++20", *flags, "-I", INCLUDE, "-c", folder / "program.cpp", "-o",
                           folder / "program.o"], text=True, capture_output=True, timeout=120)
    return done.returncode, done.stderr


def expect(condition, text):
    if not condition:
        problems.append(text)


def is_one_line(code, said, plugin, other):
    """Ours, and the object is there; or clang's own, and it is not."""
    said = said.replace("1 error generated.\n", "")
    ours = re.fullmatch(r"cairn-\w+: this plugin is for clang \d+ and does nothing in clang \d+\n", said)
    theirs = re.fullmatch(r"error: unable to load plugin .*\n", said)
    wanted = f"{plugin.stem.split('-')[-1]} and does nothing in clang {other}"
    return code == 0 and wanted in said if ours else code == 1 and theirs is not None


def main():
    plugins = {what: {path.stem.split("-")[-1]: path for path in FOLDER.glob(f"libcairn-{what}-*.so")}
               for what in ("escape", "frontend")}
    majors = [major for major in plugins["escape"] if shutil.which(f"clang++-{major}")]
    if not majors:
        print("no clang with a plugin: skipped")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "program.cpp").write_text(PROGRAM)
        for major in majors:
            for what, flag in (("escape", "-fpass-plugin"), ("frontend", "-fplugin")):
                for own, plugin in plugins[what].items():
                    code, said = compiled(folder, f"clang++-{major}", "-O1", f"{flag}={plugin}")
                    silent = (code, said) == (0, "")
                    right = silent if own == major else is_one_line(code, said, plugin, major)
                    expect(right, f"{plugin.name} in clang {major}: exit {code}: {said}")
            pass_plugin = plugins["escape"][major]
            code, said = compiled(folder, f"clang++-{major}", "-O0", f"-fpass-plugin={pass_plugin}")
            expect(code == 0 and said.count("\n") == 1 and "at -O0" in said, f"clang {major}, -O0: {said}")
        if "g++" in CXX:
            code, said = compiled(folder, CXX, "-O1", f"-fpass-plugin={plugins['escape'][majors[0]]}")
            expect(code == 1 and said.count("\n") == 1 and "-fpass-plugin" in said, f"{CXX}: {said}")
            expect(compiled(folder, CXX, "-O1", "-Wall") == (0, ""), f"{CXX} without the plugin")
    pairs = len(majors) * (len(plugins["escape"]) + len(plugins["frontend"]))
    print("\n".join([*problems, f"{pairs} pairs of a clang and a plugin, {len(problems)} problems"]))
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
