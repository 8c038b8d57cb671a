#!/usr/bin/env python3
"""`cairn escape` from outside: what it says of a file, as text and as JSON, and of each mistake.

Usage: escape_test.py CAIRN MAJORS SOURCE_DIR. MAJORS, with commas between them, are those the pass was
built for.
"""
# SPDX-License-Identifier: MIT
import json
import shutil
import sys
from pathlib import Path

from command import Command, Skipped, expect, expect_mistake

MAJORS, SOURCE = sys.argv[2].split(","), Path(sys.argv[3])
cairn = Command(sys.argv[:2])
case = cairn.case
PROGRAM = """
#include "cairn/cairn.hpp"
struct Vec { double x, y; };
Vec* kept;
void away(Vec*);
double local() { auto* p = cairn::make<Vec>(1., 2.); return p->x + p->y; }
void global() { kept = cairn::make<Vec>(1., 2.); }
void unknown() { Vec* q = cairn::make<Vec>(1., 2.); away(q); }
void reference() { auto& r = *cairn::make<Vec>(1., 2.); away(&r); }
void parameter(Vec* leaking, Vec* staying) { kept = leaking; staying->x = 1; }
"""


def clang():
    for major in MAJORS:
        if shutil.which(f"clang++-{major}"):
            return f"clang++-{major}"
    raise Skipped("no clang that the pass was built for")


def source(text=PROGRAM):
    file = cairn.work / "program.cpp"
    file.write_text(text)
    return file


def escape(*flags, text=PROGRAM, options=(), level="-O2"):
    file = source(text)
    return cairn("escape", *options, "--", clang(), "-std=c++20", level, "-I", SOURCE / "include", "-c", file,
                 "-o", cairn.work / "program.o", *flags)


@case
def one_line_a_place_in_gos_words():
    done = escape()
    expect(done, 0)
    assert done.stderr == "", done.stderr
    said = [line.split("program.cpp:")[1] for line in done.stdout.splitlines() if line.strip()]
    assert len(said) == 4, done.stdout
    assert said[0] == "6:28: Vec 'p' does not escape (16 bytes)", said
    assert said[1].startswith("7:24: Vec 'kept' escapes to heap: stored to global 'kept' at "), said
    unknown = "passed to unknown function 'away(Vec*)' at "
    assert said[2].startswith("8:27: Vec 'q' escapes to heap: " + unknown), said
    assert said[3].startswith("9:31: moved to heap: r: " + unknown), said
    assert (cairn.work / "program.o").stat().st_size > 0


@case
def parameters_on_request():
    done = escape(options=["--params"])
    expect(done, 0, out="leaking param: leaking: stored to global 'kept'")
    expect(done, 0, out="staying does not escape")


@case
def the_same_for_programs():
    lines = json.loads(escape(options=["--json"]).stdout)
    assert [line["verdict"] for line in lines] == ["stack", "heap", "heap", "heap"], lines
    assert lines[0]["bytes"] == 16 and lines[0]["variable"] == "p" and lines[0]["line"] == 6


@case
def what_else_the_compiler_says_goes_on():
    done = escape(text="int main() { return undeclared; }\n")
    expect(done, 1, err="use of undeclared identifier")
    assert done.stdout == ""
    done = escape("-Wall", text="static int unused;\n")
    expect(done, 0, err="unused variable")


@case
def without_optimisation_nothing_is_said_but_that():
    done = escape(level="-O0")
    expect(done, 0)
    assert done.stderr.count("\n") == 1 and "nothing is moved to the stack at -O0" in done.stderr, done.stderr


@case
def mistakes():
    expect_mistake(cairn("escape"), 2, "no compiler given")
    expect_mistake(cairn("escape", "--all", "--", "clang++"), 2, "--all", "--json")
    expect_mistake(cairn("escape", "--", "g++", "-c", "x.cpp"), 125, "g++ is no clang", "on the heap")
    expect_mistake(cairn("escape", "--", "no-such-compiler"), 125, "no-such-compiler", "cannot be run")
    fake = cairn.work / "clang++-99"
    fake.write_text("#!/bin/sh\necho clang version 99.1\n")
    fake.chmod(0o755)
    expect_mistake(cairn("escape", "--", fake), 125, "libcairn-escape-99.so", "not built for clang 99")


if __name__ == "__main__":
    cairn.main()
