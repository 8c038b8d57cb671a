#!/usr/bin/env python3
"""Real programs on the preloaded library print, return and write byte for byte what they do without it.

usage: run.py --lib LIB [--cairn BIN] [--quick] [--filter RE]

A case is a script of cases/, run twice in an empty folder of the same name: plain, then with the library in
LD_PRELOAD for it and all it starts. Standard output, exit code and the files it names must be equal. Lines of
the script's opening comment say what it takes:
    # needs: PROGRAM...    the case is skipped where one is missing
    # files: GLOB...       files to compare by hash
    # limit: SECONDS       for each of the two runs (default 60)
With --cairn, small cases go through `cairn run --` as well. --quick sets QUICK=1 for the scripts.
"""
# SPDX-License-Identifier: MIT
import argparse
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PATHS = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]


def words(script, key):
    return " ".join(re.findall(rf"^# {key}:(.*)$", script.read_text(), re.M)).split()


def environment(folder, quick):
    """The same for both runs, free of what the caller's shell holds."""
    env = {"PATH": ":".join(PATHS), "HOME": str(folder), "TMPDIR": str(folder), "CASES": str(HERE),
           "LANG": "C.UTF-8", "TZ": "UTC",
           "PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    return env | ({"QUICK": "1"} if quick else {})


class Outcome:
    """What one run of a command showed; equal outcomes are equal in everything but time and stderr."""

    def __init__(self, command, folder, env, limit, files=()):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        start = time.monotonic()
        process = subprocess.Popen(command, cwd=folder, env=env, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        try:
            self.stdout, self.stderr = process.communicate(timeout=limit)
            self.code = process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            self.stdout, self.stderr = process.communicate()
            self.code = f"none after {limit} s"
        self.seconds = time.monotonic() - start
        self.files = {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
                      for pattern in files for path in sorted(folder.glob(pattern)) if path.is_file()}

    def difference(self, other):
        """The first thing in which the other run differs, or nothing."""
        if self.code != other.code:
            return f"exit code {other.code} instead of {self.code}"
        if self.files != other.files:
            names = sorted(name for name, _ in set(self.files.items()) ^ set(other.files.items()))
            return f"files differ: {', '.join(dict.fromkeys(names))}"
        if self.stdout != other.stdout:
            ours, theirs = self.stdout.splitlines(), other.stdout.splitlines()
            shorter = min(len(ours), len(theirs))
            at = next((i for i in range(shorter) if ours[i] != theirs[i]), shorter)
            line = [lines[at].decode(errors="replace")[:100] if at < len(lines) else "nothing"
                    for lines in (ours, theirs)]
            return f"line {at + 1} of stdout: `{line[1]}` instead of `{line[0]}`"
        return None


class Sum:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def say(self, verdict, name, text, outcome=None):
        print(f"{verdict:4} {name:18} {text}", flush=True)
        if verdict == "FAIL" and outcome is not None and outcome.stderr:
            for line in outcome.stderr.decode(errors="replace").splitlines()[-5:]:
                print("     " + line[:200], flush=True)
        self.passed += verdict == "ok"
        self.failed += verdict == "FAIL"
        self.skipped += verdict == "skip"


def missing(script):
    path = ":".join(PATHS)
    return [name for name in words(script, "needs") if shutil.which(name, path=path) is None]


def compare(script, folder, preload, quick, total):
    """Runs one case plain and preloaded; returns the plain outcome if it may serve as a model again."""
    lacking = missing(script)
    if lacking:
        return total.say("skip", script.stem, f"{', '.join(lacking)} is not installed")
    limit, files = float((words(script, "limit") or ["60"])[0]), words(script, "files")
    command, env = ["bash", str(script)], environment(folder, quick)
    plain = Outcome(command, folder, env, limit, files)
    if plain.code == 77:
        return total.say("skip", script.stem, plain.stdout.decode(errors="replace").strip())
    if plain.code != 0 or not plain.stdout:
        return total.say("FAIL", script.stem, f"plain run: exit code {plain.code}, nothing to compare", plain)
    ours = Outcome(command, folder, env | preload, limit, files)
    text = f"plain {plain.seconds:5.2f} s, preloaded {ours.seconds:5.2f} s"
    wrong = plain.difference(ours)
    if wrong:
        return total.say("FAIL", script.stem, wrong, ours)
    what = f"{len(plain.stdout)} bytes" + (f", {len(plain.files)} files" if plain.files else "")
    total.say("ok", script.stem, f"{text}  {what}")


def through_the_command(cairn, folder, quick, total):
    """`cairn run` hands on arguments, output, exit codes and signals."""
    env = environment(folder, quick)
    commands = {"arguments": ["printf", "%s|", "a b", "", "c"], "output": ["seq", "1", "20000"],
                "exit code": ["sh", "-c", "echo before; exit 37"], "no program": ["/nowhere/program"],
                "children": ["bash", "-c", "for i in 1 2 3; do (echo $i; exit $i); echo $?; done"],
                "environment": ["sh", "-c", "echo $HOME $TZ; cd /; pwd"]}
    for name, command in commands.items():
        wanted_code = 127 if name == "no program" else None
        plain = None if wanted_code else Outcome(command, folder, env, 20)
        ours = Outcome([str(cairn), "run", "--"] + command, folder, env, 20)
        if wanted_code:
            wrong = None if ours.code == wanted_code else f"exit code {ours.code} instead of {wanted_code}"
        else:
            wrong = plain.difference(ours)
        total.say("FAIL" if wrong else "ok", f"run: {name}", wrong or f"{ours.seconds:5.2f} s", ours)


def is_effective(library, preload, folder):
    """Whether a preloaded program really has the library in it; otherwise every comparison would be void."""
    env = environment(folder, True) | preload
    seen = Outcome(["cat", "/proc/self/maps"], folder, env, 20)
    return library.name.encode() in seen.stdout


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lib", type=Path, required=True, help="the library to preload")
    parser.add_argument("--cairn", type=Path, help="the command, to try `cairn run` as well")
    parser.add_argument("--quick", action="store_true", help="smaller inputs, same programs")
    parser.add_argument("--filter", default="", help="only cases whose name matches")
    return parser.parse_args()


def main():
    arguments = parse()
    library = arguments.lib.resolve()
    if not library.is_file():
        sys.exit(f"run.py: no library {library}")
    total, preload = Sum(), {"LD_PRELOAD": str(library)}
    with tempfile.TemporaryDirectory(prefix="cairn-integration-") as place:
        folder = Path(place) / "work"
        if not is_effective(library, preload, folder):
            sys.exit(f"run.py: {library} does not load by LD_PRELOAD")
        for script in sorted((HERE / "cases").glob("*.sh")):
            if re.search(arguments.filter, script.stem):
                compare(script, folder, preload, arguments.quick, total)
        if arguments.cairn and re.search(arguments.filter, "run"):
            through_the_command(arguments.cairn.resolve(), folder, arguments.quick, total)
    print(f"{total.passed} passed, {total.failed} failed, {total.skipped} skipped")
    return total.failed != 0 or total.passed == 0


if __name__ == "__main__":
    sys.exit(main())
