#!/usr/bin/env python3
"""Runs each program of tests/misuse on the preloaded library and compares what it says with what it must say.

usage: run.py [LIB] --build DIR [--filter RE]

Twice each: as usual it must end by SIGABRT after exactly one line on stderr, the one its first line names;
with CAIRN_ON_MISUSE=report it must print that line, go on and end with code 0. The program itself says on
stdout which addresses it means.
"""
# SPDX-License-Identifier: MIT
import argparse
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

SOURCES = Path(__file__).resolve().parent


def expected_line(source, stdout):
    """The regular expression of the first line, with the addresses that the program printed."""
    found = re.match(r"// expect: (.+)\n", source.read_text())
    if not found:
        sys.exit(f"run.py: {source}: the first line is not `// expect: REGEX`")
    expression = found.group(1)
    for name, address in re.findall(r"^([A-Z])=(0x[0-9a-f]+)$", stdout, re.M):
        expression = expression.replace(f"@{name}@", address)
    return expression


def complaint(source, program, library, must_go_on):
    """What is wrong with one run, or nothing."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("CAIRN_")}
    env["LD_PRELOAD"] = str(library)
    if must_go_on:
        env["CAIRN_ON_MISUSE"] = "report"
    try:
        ended = subprocess.run([program], env=env, capture_output=True, text=True, timeout=20,
                               stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return "hangs"
    expression = expected_line(source, ended.stdout)
    lines = ended.stderr.splitlines()
    if len(lines) != 1:
        return f"{len(lines)} lines on stderr, not one /{expression}/: {lines[:3]} (code {ended.returncode})"
    if not re.fullmatch(expression, lines[0]):
        return f"says `{lines[0]}` instead of /{expression}/"
    wanted = 0 if must_go_on else -signal.SIGABRT
    if ended.returncode != wanted:
        return f"ends with code {ended.returncode} instead of {wanted}"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lib", nargs="?", type=Path, help="default DIR/lib/libcairn-malloc.so")
    parser.add_argument("--build", type=Path, default=Path("build/release"), help="default %(default)s")
    parser.add_argument("--filter", default="", help="only programs whose name matches")
    arguments = parser.parse_args()
    library = (arguments.lib or arguments.build / "lib/libcairn-malloc.so").resolve()
    if not library.is_file():
        sys.exit(f"run.py: no library {library}")
    passed = failed = 0
    for source in sorted(SOURCES.glob("*.c")):
        if not re.search(arguments.filter, source.stem):
            continue
        program = arguments.build.resolve() / "tests/misuse" / source.stem
        for must_go_on in (False, True):
            wrong = complaint(source, program, library, must_go_on) if program.is_file() else "not built"
            passed, failed = passed + (wrong is None), failed + (wrong is not None)
            mode = "report" if must_go_on else "abort"
            verdict = "FAIL" if wrong else "ok  "
            print(f"{verdict} {source.stem:28} {mode:6} {wrong or ''}".rstrip(), flush=True)
    print(f"{passed} passed, {failed} failed")
    return failed != 0 or passed == 0


if __name__ == "__main__":
    sys.exit(main())
