#!/usr/bin/env python3
"""libgc.so.1 against the original: symbols, programs of its interface, installed clients.

usage: run.py --library build/lib/libgc [--only abi|programs|clients] [--filter WORD]

  abi       every name the original exports is there, of the same kind and size; what installed clients import
            is found
  programs  each *.c here is compiled with either's headers, with the flags that it asks for (`flags:`), and
            run on either's library: all print the same; `alone:` says why one runs on ours only, and says ok
  clients   each script of clients/ is run on both libraries and prints the same; `again: SECONDS` in it names
            a client that at times does not end, on either library, and is then run again

Ours runs four times: as it is, with CAIRN_GC=stw, with CAIRN_VERIFY=1, with young cycles and CAIRN_VERIFY=1.
What is not installed is skipped, and said. The exit code is 1 if anything differed.
"""
# SPDX-License-Identifier: MIT
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
ORIGINAL = Path("/usr/lib/x86_64-linux-gnu/libgc.so.1")
MODES = {"ours": {}, "ours, stw": {"CAIRN_GC": "stw"}, "ours, verified": {"CAIRN_VERIFY": "1"},
         "ours, young cycles verified": {"CAIRN_GC_YOUNG": "on", "CAIRN_VERIFY": "1"},
         "ours, unaged verified": {"CAIRN_GC_YOUNG": "unaged", "CAIRN_VERIFY": "1"},
         "ours, never in one stop, verified": {"CAIRN_GC_STOP_MS": "0", "CAIRN_VERIFY": "1"}}
CLIENTS = ["usr/bin/guile", "usr/bin/ecl", "usr/bin/w3m", "usr/bin/asy", "usr/bin/nix", "usr/bin/neko",
           "usr/bin/crystal", "usr/bin/M2-binary", "usr/bin/poke", "usr/bin/parser3", "usr/bin/mmv",
           "usr/lib/x86_64-linux-gnu/libguile-3.0.so.1", "usr/lib/x86_64-linux-gnu/libguile-2.2.so.1",
           "usr/lib/x86_64-linux-gnu/libecl.so.21.2", "usr/lib/x86_64-linux-gnu/libneko.so.2",
           "usr/lib/x86_64-linux-gnu/libgccpp.so.1", "usr/lib/x86_64-linux-gnu/libpoke.so.0",
           "usr/lib/nix/libnixexpr.so", "usr/lib/x86_64-linux-gnu/libnixexpr.so"]
passed, failed, skipped = [], [], []


def note(name, trouble=None):
    (failed if trouble else passed).append(name)
    if trouble:
        print(f"FAILED {name}: {trouble}", flush=True)


def skip(name, why):
    skipped.append(name)
    print(f"skipped {name}: {why}", flush=True)


def symbols(file, *options):
    """name -> (kind, size) of the dynamic symbols."""
    told = subprocess.run(["nm", "-D", "-S", *options, file], capture_output=True, text=True).stdout
    found = {}
    for line in told.splitlines():
        words = line.split()
        if len(words) >= 2 and words[-1].startswith("GC_"):
            found[words[-1]] = (words[-2], words[1] if len(words) == 4 else "")
    return found


def check_abi(library, name="abi"):
    ours = symbols(library / "libgc.so.1", "--defined-only")
    versions = subprocess.run(["readelf", "-dV", library / "libgc.so.1"], capture_output=True,
                              text=True).stdout
    note(f"{name}: soname", None if "[libgc.so.1]" in versions else "not libgc.so.1")
    note(f"{name}: versions", "symbol versions" if "Version definition" in versions else None)
    if not ORIGINAL.exists():
        return skip(f"{name}: symbols", "no original library")
    theirs = symbols(ORIGINAL, "--defined-only")
    for symbol, (kind, size) in theirs.items():
        if symbol not in ours:
            note(f"{name}: {symbol}", "is missing")
            continue
        is_data = kind in "BDR"
        same = is_data == (ours[symbol][0] in "BDR") and (not is_data or ours[symbol][1] == size)
        note(f"{name}: {symbol}", None if same else f"{ours[symbol]} for {(kind, size)}")
    for client in CLIENTS:
        if not (file := Path("/") / client).exists():
            continue
        missing = [symbol for symbol in symbols(file, "--undefined-only") if symbol not in ours]
        note(f"{name}: imports of {client}", f"{missing} missing" if missing else None)


def run(command, library, settings=None, limit=120, folder=None):
    env = {key: value for key, value in os.environ.items() if not key.startswith(("CAIRN_", "GC_", "LD_"))}
    env |= {"LD_LIBRARY_PATH": str(library), "LC_ALL": "C.UTF-8", "HOME": str(folder or "/tmp")}
    try:
        done = subprocess.run(command, env=env | (settings or {}), capture_output=True, timeout=limit,
                              cwd=folder)
        return done.returncode, done.stdout, done.stderr
    except subprocess.TimeoutExpired:
        return "timeout", b"", b""


def tell(result):
    return f"exit {result[0]}, out {result[1][-300:]!r}, err {result[2][-300:]!r}"


def run_again(command, library, settings=None, again=None, **options):
    """run(), of a client that gets `again` seconds at first."""
    result = run(command, library, settings, **options, **({"limit": again} if again else {}))
    return run(command, library, settings, **options) if again and result[0] == "timeout" else result


def compare(name, command, library, runs=1, wanted=None, **options):
    """Runs on the original, where nothing is wanted, and on ours; they must end and print alike."""
    wanted = wanted or run_again(command, ORIGINAL.parent, **options)
    if wanted[0] != 0:
        return note(f"{name}, the original", tell(wanted))
    for mode, settings in MODES.items():
        for _ in range(runs):
            got = run_again(command, library, settings, **options)
            if got[:2] != wanted[:2]:
                note(f"{name}, {mode}", f"{tell(got)}; the original: {tell(wanted)}")
                break
        else:
            note(f"{name}, {mode}")


def check_programs(library, work, wanted):
    headers = {"our header": ROOT / "include/cairn/compat", "the original's header": Path("/usr/include")}
    for source in sorted(HERE.glob("*.c")):
        if wanted and wanted not in source.stem:
            continue
        for told, folder in headers.items():
            if not (folder / "gc.h").exists() or not ORIGINAL.exists():
                skip(f"{source.stem}, {told}", "libgc-dev is not installed")
                continue
            program = work / f"{source.stem}-{told[:3].strip()}"
            flags = ["-O1", "-g", "-w", "-D_GNU_SOURCE", "-isystem", folder, "-I", HERE]
            if own := re.search(r"\bflags: (.*)$", source.read_text(), re.M):
                flags += own.group(1).split()
            built = subprocess.run(["gcc", *flags, source, "-o", program, ORIGINAL, "-lpthread"],
                                   capture_output=True, text=True)
            if built.returncode != 0:
                note(f"{source.stem}, {told}", built.stderr[-500:])
                continue
            alone = (0, b"ok\n") if "\n   alone: " in source.read_text() else None
            compare(f"{source.stem}, {told}", [program], library, folder=work, wanted=alone)
            if source.stem == "trees":
                check_stop_times(f"{source.stem}, {told}", program, library, work)


def check_stop_times(name, program, library, work):
    """Which variable decides whether a heap is marked in one stop."""
    cases = [({}, True), ({"GC_PAUSE_TIME_TARGET": "0"}, False), ({"CAIRN_GC_STOP_MS": "0"}, False),
             ({"GC_PAUSE_TIME_TARGET": "0", "CAIRN_GC_STOP_MS": "1000"}, True)]
    for settings, expected in cases:
        result = run([program], library, {"CAIRN_TRACE": "gc", **settings}, folder=work)
        is_right = result[0] == 0 and (b": few conservative objects" in result[2]) == expected
        note(f"{name}: one stop with {settings}", None if is_right else tell(result))


def check_clients(library, work, wanted):
    for script in sorted((HERE / "clients").iterdir()):
        if wanted and wanted not in script.name:
            continue
        text = script.read_text()
        command = re.search(r"\brun: ([^>\n]*?)(?: *-->)?$", text, re.M).group(1).split()
        if shutil.which(command[0]) is None:
            skip(script.name, f"{command[0]} is not installed")
            continue
        copy = work / script.name
        shutil.copy(script, copy)
        for step in re.findall(r"\bfirst: (.*)$", text, re.M):
            subprocess.run(step, shell=True, cwd=work, check=True, capture_output=True)
        words = [str(copy) if word == "FILE" else word for word in command]
        again = re.search(r"\bagain: (\d+)", text)
        compare(script.name, words, library, folder=work, again=int(again.group(1)) if again else None)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--only")
    parser.add_argument("--filter")
    options = parser.parse_args()
    library = options.library.resolve()
    work = Path(tempfile.mkdtemp(prefix="cairn-libgc-"))
    if options.only in (None, "abi"):
        check_abi(library)
    if options.only in (None, "programs"):
        check_programs(library, work, options.filter)
    if options.only in (None, "clients"):
        check_clients(library, work, options.filter)
    shutil.rmtree(work, ignore_errors=True)
    print(f"{len(passed)} passed, {len(failed)} failed, {len(skipped)} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
