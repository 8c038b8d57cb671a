#!/usr/bin/env python3
"""The tour can be walked: every link of both editions leads to a file, every command they give works.

Usage: tour_test.py CAIRN BUILD. Commands are what stands between back-quotes and begins with `cairn`,
`build/release/` or a variable CAIRN_...; those for a process that the reader starts are left out.
"""
# SPDX-License-Identifier: MIT
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CAIRN, BUILD = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
COMMAND = re.compile(r"`((?:CAIRN_\w+=\S+ )?(?:cairn |build/release/)[^`]*)`")


def commands(text):
    """In order, the ones in fences first; none twice."""
    fenced = [line for fence in re.findall(r"```sh\n(.*?)```", text, re.S) for line in fence.splitlines()]
    inline = [" ".join(found.split()) for found in COMMAND.findall(text)]
    return [c for c in dict.fromkeys(fenced + inline) if not re.search(r"PID|&|^make|explain$|help$", c)]


def main():
    failed = 0
    texts = {name: (ROOT / "docs" / name).read_text() for name in ("tour.md", "tour.zh.md")}
    for name, text in texts.items():
        for link in re.findall(r"\]\(([^)#]+)\)", text):
            if not (ROOT / "docs" / link).exists():
                failed += 1
                print(f"FAILED {name}: {link} is not there")
    walk, other = commands(texts["tour.md"]), commands(texts["tour.zh.md"])
    if sorted(walk) != sorted(other):
        failed += 1
        print(f"FAILED the editions give different commands: {set(walk) ^ set(other)}")
    environment = {**os.environ, "PATH": f"{CAIRN.parent}:{os.environ['PATH']}"}
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "build").mkdir()
        (Path(place) / "build/release").symlink_to(BUILD)
        for folder in ("include", "tests"):
            (Path(place) / folder).symlink_to(ROOT / folder)
        for command in walk:
            if "clang++-14" in command and shutil.which("clang++-14") is None:
                continue
            short = command.replace("build/release/bench/linear", "build/release/bench/linear --smoke")
            done = subprocess.run(["bash", "-c", short], cwd=place, env=environment, text=True,
                                  capture_output=True, timeout=120)
            if done.returncode != 0:
                failed += 1
                print(f"FAILED exit {done.returncode}: {command}\n{done.stderr[:300]}")
    print(f"{len(walk)} commands, {failed} failed")
    return 1 if failed or len(walk) < 12 else 0


if __name__ == "__main__":
    sys.exit(main())
