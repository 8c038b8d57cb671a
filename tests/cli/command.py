"""What tests of the command share: running it, judging what it said, programs compiled on the way, a tally.

A test file makes a `Command(sys.argv)`, marks its functions with `@case` of it and ends with its `main()`.
"""
# SPDX-License-Identifier: MIT
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path


class Skipped(Exception):
    """The machine lacks something; the case counts neither way."""


class Command:
    def __init__(self, arguments):
        self.cairn = Path(arguments[1]).resolve()
        self.work = Path(tempfile.mkdtemp(prefix="cairn-cli-"))
        self.only = arguments[2:]
        self.cases = []

    def case(self, function):
        self.cases.append(function)
        return function

    def __call__(self, *arguments, env=None, timeout=120, **options):
        return subprocess.run([self.cairn, *map(str, arguments)], text=True, capture_output=True,
                              timeout=timeout, env={**os.environ, **(env or {})}, **options)

    def start(self, *arguments, **options):
        return subprocess.Popen([self.cairn, *map(str, arguments)], text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, **options)

    def compile(self, name, text, *flags, suffix=".c"):
        source = self.work / (name + suffix)
        source.write_text(text)
        compiler = "cc" if suffix == ".c" else "c++"
        # the compiler must not fold what the test is about
        subprocess.run([compiler, "-O1", "-w", "-fno-builtin", "-pthread", source, "-o", self.work / name,
                        *flags], check=True, capture_output=True)
        return self.work / name

    def main(self):
        failed = passed = 0
        for check in self.cases:
            if self.only and check.__name__ not in self.only:
                continue
            try:
                check()
                passed += 1
            except Skipped as reason:
                print(f"skipped {check.__name__}: {reason}")
            except Exception as problem:  # a case that breaks is a case that failed
                failed += 1
                print(f"FAILED {check.__name__}: {type(problem).__name__} {problem}")
        shutil.rmtree(self.work, ignore_errors=True)
        print(f"{passed} passed, {failed} failed")
        sys.exit(1 if failed or not passed else 0)


def expect(done, code, out=None, err=None):
    """`out` and `err` are patterns to find."""
    told = (f"{done.args[1:]}: exit {done.returncode}\n"
            f"  out: {done.stdout[:500]!r}\n  err: {done.stderr[:500]!r}")
    assert done.returncode == code, f"wanted exit {code}; {told}"
    assert out is None or re.search(out, done.stdout), f"wanted /{out}/ in out; {told}"
    assert err is None or re.search(err, done.stderr), f"wanted /{err}/ in err; {told}"


def expect_mistake(done, code, *words):
    """One line on stderr, opened by `cairn: `, with all `words` in it; nothing on stdout."""
    expect(done, code, err="^cairn: ")
    assert done.stdout == "" and done.stderr.count("\n") == 1, f"wanted one line: {done.stderr!r}"
    for word in words:
        assert word in done.stderr, f"wanted {word!r} in {done.stderr!r}"


def need(program):
    found = shutil.which(program)
    if found is None:
        raise Skipped(f"no {program}")
    return found
