#!/usr/bin/env python3
"""The front-end plugin with one clang: what it says of each line of a file, and that it is silent of others.

Usage: frontend.py MAJOR PLUGIN SOURCE_DIR [--quick]. frontend_cases.cpp tells what is expected; the project's
examples must compile without a warning; the plugin's own arguments, and bad ones. --quick: the cases alone.
"""
# SPDX-License-Identifier: MIT
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

MAJOR, PLUGIN, SOURCE = sys.argv[1], sys.argv[2], Path(sys.argv[3])
CLANG = f"clang++-{MAJOR}"
CASES = Path(__file__).resolve().parent / "frontend_cases.cpp"
problems = []


def expect(condition, text):
    if not condition:
        problems.append(text)


def parse(file, *arguments, flags=("-fsyntax-only",)):
    more = [f"-fplugin-arg-cairn-{argument}" for argument in arguments]
    command = [CLANG, "-std=c++20", *flags, "-fno-caret-diagnostics", "-ferror-limit=0", f"-fplugin={PLUGIN}",
               *more, "-I", SOURCE / "include", file]
    return subprocess.run(command, text=True, capture_output=True, timeout=120)


def said(done, level):
    """{line: [text]} of the file that was given."""
    lines = {}
    for line, text in re.findall(rf"^\S+?:(\d+):\d+: {level}: (.*)$", done.stderr, re.M):
        lines.setdefault(int(line), []).append(text)
    return lines


def check_cases(done, level="warning"):
    warnings = said(done, level)
    for number, line in enumerate(CASES.read_text().splitlines(), 1):
        wanted = re.search(r"// warn (\S+)$", line)
        got = warnings.pop(number, [])
        if not wanted:
            expect(not got, f"line {number}: nothing to warn of, but {got}")
        else:
            right = len(got) == 1 and got[0].endswith(f"[cairn-{wanted[1]}]")
            expect(right, f"line {number}: wanted {wanted[1]}, got {got}")
    expect(not warnings, f"elsewhere: {warnings}")


def check_verdicts(done):
    remarks = said(done, "remark")
    for number, line in enumerate(CASES.read_text().splitlines(), 1):
        wanted = re.search(r"// (stack|heap): (.*)$", line)
        if not wanted:
            continue
        got = remarks.pop(number, [])
        kind = "-Rpass=escape" if wanted[1] == "stack" else "-Rpass-missed=escape"
        right = len(got) == 1 and wanted[2] in got[0] and got[0].endswith(f"[{kind}]")
        expect(right, f"line {number}: wanted {wanted.groups()}, got {got}")
    expect(not remarks, f"verdicts on lines that expect none: {remarks}")


def check_cases_file():
    done = parse(CASES)
    expect(done.returncode == 0, f"the cases do not compile:\n{done.stderr[:2000]}")
    check_cases(done)
    expect("remark:" not in done.stderr, "verdicts that nobody asked for")
    check_verdicts(parse(CASES, "escape"))
    if "--quick" in sys.argv:
        return
    with tempfile.TemporaryDirectory() as folder:
        for level in ("-O0", "-O2"):
            check_cases(parse(CASES, flags=(level, "-c", "-o", f"{folder}/cases.o")))


def check_arguments():
    done = parse(CASES, "error")
    expect(done.returncode == 1, "error: it compiles")
    check_cases(done, "error")
    done = parse(CASES, "no-advice")
    expect("could-be-local" not in done.stderr and "raw-field" in done.stderr, "no-advice")
    done = parse(CASES, "odd")
    expect(done.returncode == 1 and "unknown; valid are escape, no-advice, error" in done.stderr,
           f"a bad argument: {done.stderr[:300]}")


def check_examples():
    files = sorted((SOURCE / "examples").glob("*.cpp"))
    expect(len(files) >= 5, f"only {len(files)} examples")
    for file in files:
        done = parse(file)
        missing = re.search(r"fatal error: '(.*)' file not found", done.stderr)
        if missing:
            print(f"{file.name}: no {missing[1]} here: left out")
            continue
        expect(done.returncode == 0 and not done.stderr, f"{file.name}: {done.stderr[:1000]}")


def main():
    if not shutil.which(CLANG):
        print(f"no {CLANG}: skipped")
        sys.exit(77)
    check_cases_file()
    if "--quick" not in sys.argv:
        check_arguments()
        check_examples()
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
