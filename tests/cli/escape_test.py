#!/usr/bin/env python3
"""`cairn escape` from outside: what it says of a file, as text and as JSON, and of each mistake.

Usage: escape_test.py CAIRN MAJORS CHECKED SOURCE_DIR. MAJORS, with commas between them, are those the pass
was built for, CHECKED those of the front end's checks; none is "-".
"""
# SPDX-License-Identifier: MIT
import json
import shutil
import sys
from pathlib import Path

from command import Command, Skipped, expect, expect_mistake

MAJORS, CHECKED, SOURCE = sys.argv[2].split(","), sys.argv[3].split(","), Path(sys.argv[4])
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
# The front end has something to say of lines 3 and 5.
CHECKS = """
#include "cairn/cairn.hpp"
struct Node { cairn::Ptr<Node> next; Node* raw;
    static constexpr auto cairn_pointers = cairn::pointers(&Node::next); };
long local() { auto* n = new long(3); const long value = *n; delete n; return value; }
long made() { auto* node = cairn::make<Node>(); return node->next == node->raw; }
"""


def clang(majors=MAJORS):
    for major in majors:
        if shutil.which(f"clang++-{major}"):
            return f"clang++-{major}"
    raise Skipped("no clang that the pass was built for")


def source(text=PROGRAM):
    file = cairn.work / "program.cpp"
    file.write_text(text)
    return file


def escape(*flags, text=PROGRAM, options=(), level="-O2", majors=MAJORS):
    file = source(text)
    return cairn("escape", *options, "--", clang(majors), "-std=c++20", level, "-I", SOURCE / "include", "-c",
                 file, "-o", cairn.work / "program.o", *flags)


def lines_of(done):
    return [line.split("program.cpp:")[1] for line in done.stdout.splitlines() if line.strip()]


@case
def one_line_a_place_in_gos_words():
    done = escape()
    expect(done, 0)
    assert done.stderr == "", done.stderr
    said = lines_of(done)
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
def the_front_ends_checks_are_lines_too():
    done = escape(text=CHECKS, majors=CHECKED)
    expect(done, 0)
    said = lines_of(done)
    assert len(said) == 3 and done.stderr == "", (said, done.stderr)
    assert said[0].startswith("3:44: warning: raw pointer field 'raw' to collected type 'Node'"), said
    assert said[0].endswith("[cairn-raw-field]"), said
    assert said[1].startswith("5:26: warning: new long 'n' does not escape: it could be a local"), said
    assert said[2] == "6:28: Node 'node' does not escape (16 bytes)", said
    lines = json.loads(escape(text=CHECKS, options=["--json"], majors=CHECKED).stdout)
    assert [line["verdict"] for line in lines] == ["check", "advice", "stack"], lines
    assert [line["subject"] for line in lines] == ["raw-field", "could-be-local", "Node"], lines
    done = escape("-Wall", text=CHECKS + "static int unused;\n", majors=CHECKED)
    expect(done, 0, out="raw-field", err="unused variable")


@case
def a_forecast_where_nothing_is_optimised():
    for flags, level in ((["-fsyntax-only"], "-O2"), ([], "-O0")):
        said = lines_of(escape(*flags, level=level, majors=CHECKED))
        assert len(said) == 4, said
        assert said[0] == "6:28: Vec 'p' does not escape", said
        assert said[1].startswith("7:24: Vec 'kept' escapes to heap: stored to global 'kept' at "), said
        assert said[3].startswith("9:31: moved to heap: r: passed to unknown function 'away' at "), said


@case
def a_link_has_nothing_to_tell():
    expect(escape(text="int main() {}\n"), 0)
    done = cairn("escape", "--", clang(), cairn.work / "program.o", "-o", cairn.work / "program")
    expect(done, 0)
    assert done.stdout == done.stderr == "", (done.stdout, done.stderr)


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
