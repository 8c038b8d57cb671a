#!/usr/bin/env python3
"""Runs every program of tests/abi on a preloaded allocator; one line each and a closing sum.

usage: run_preload.py --build DIR [--lib FILE|none] [--filter RE] [--env NAME=VALUE]...

How a program is run stands in its own opening comment, a line a run:
    // run: timeout=SECONDS args=A,B env=NAME=VALUE,... only=cairn
A run passes when the program ends with code 0 in time. `--lib none` runs on the system's allocator, which
shows that the tests are right; runs marked only=cairn are then left out, as for any other library.
"""
# SPDX-License-Identifier: MIT
import argparse
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

SOURCES = Path(__file__).resolve().parent / "abi"


def runs_of(source):
    """The `run:` lines of a source as dictionaries; a program without one runs once, bare, for up to 60 s."""
    head = source.read_text().split("#include", 1)[0]
    lines = re.findall(r"^// run:(.*)$", head, re.M) or [""]
    return [dict(word.split("=", 1) for word in line.split()) for line in lines]


def environment(library, run, extra):
    env = {name: value for name, value in os.environ.items() if not name.startswith(("CAIRN_", "LD_PRELOAD"))}
    env |= dict(pair.split("=", 1) for pair in run.get("env", "").split(",") if pair)
    env |= dict(pair.split("=", 1) for pair in extra)
    if library is not None:
        env["LD_PRELOAD"] = str(library)
    return env


def run_program(program, run, env):
    """(passed, what happened, output)"""
    command = [str(program)] + [word for word in run.get("args", "").split(",") if word]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        output = process.communicate(timeout=float(run.get("timeout", 60)))[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return False, "hangs", process.communicate()[0]
    code = process.returncode
    if code < 0:
        return False, f"killed by {signal.Signals(-code).name}", output
    return code == 0, f"exit code {code}", output


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, required=True, help="a build directory, e.g. build/release")
    parser.add_argument("--lib", help="the library to preload, or none; default DIR/lib/libcairn-malloc.so")
    parser.add_argument("--filter", default="", help="only runs whose name matches")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="for every program")
    return parser.parse_args()


def main():
    arguments = parse()
    library = Path(arguments.lib or arguments.build / "lib/libcairn-malloc.so").resolve()
    if arguments.lib == "none":
        library = None
    elif not library.is_file():
        sys.exit(f"run_preload.py: no library {library}")
    is_cairn = library is not None and "cairn" in library.name
    passed = failed = 0
    for source in sorted(SOURCES.glob("*.c*")):
        program = arguments.build.resolve() / "tests/abi" / source.stem
        for run in runs_of(source) if not source.stem.endswith("_so") else []:
            name = " ".join([source.stem] + run.get("args", "").split(","))
            if not re.search(arguments.filter, name) or (run.get("only") == "cairn" and not is_cairn):
                continue
            start = time.monotonic()
            if program.is_file():
                good, what, output = run_program(program, run, environment(library, run, arguments.env))
            else:
                good, what, output = False, f"not built: {program}", b""
            passed, failed = passed + good, failed + (not good)
            lines = output.decode(errors="replace").strip().splitlines()
            remark = lines[-1] if good and lines else what
            seconds = time.monotonic() - start
            print(f"{'ok  ' if good else 'FAIL'} {name:32} {seconds:6.2f} s  {remark}", flush=True)
            if not good:
                print("\n".join("     " + line for line in lines[-12:]), flush=True)
    print(f"{passed} passed, {failed} failed")
    return failed != 0 or passed == 0


if __name__ == "__main__":
    sys.exit(main())
