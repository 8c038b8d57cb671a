#!/usr/bin/env python3
"""The case table with one clang: what the pass says of each line, how many heap objects a run makes, its
values.

Usage: table.py MAJOR PLUGIN LIBRARY INCLUDE CXX [--quick]. The values are those of CXX without the pass. Then
the same under AddressSanitizer, with larger limits, and with the pass forced to move what it must not: that
has to be caught, or this test proves nothing. --quick leaves that out.
"""
# SPDX-License-Identifier: MIT
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
MAJOR, PLUGIN, LIBRARY, INCLUDE, CXX = sys.argv[1:6]
CLANG = f"clang++-{MAJOR}"
WRAP = "-Wl," + ",".join(f"--wrap=cairn_alloc{kind}" for kind in ("", "_heap", "_finalized", "_array"))
PASS = [f"-fpass-plugin={PLUGIN}", "-Rpass=escape", "-Rpass-missed=escape", "-fno-caret-diagnostics"]
problems = []


def run(command, env=None, timeout=120):
    try:
        return subprocess.run([str(word) for word in command], text=True, capture_output=True,
                              timeout=timeout, env={**os.environ, **(env or {})})
    except subprocess.TimeoutExpired as late:
        return subprocess.CompletedProcess(command, -1, (late.stdout or b"").decode(), "it does not end")


def build(folder, name, compiler, cases_flags=(), flags=("-O2",), env=None):
    """A program of all files, and what the compiler said of the cases."""
    objects, said = [], ""
    for source in ("cases", "case_list", "elsewhere"):
        target = folder / f"{name}_{source}.o"
        more = list(cases_flags) if source == "cases" else []
        done = run([compiler, "-std=c++20", *flags, *more, "-I", INCLUDE, "-c", HERE / f"{source}.cpp", "-o",
                    target], env)
        if done.returncode != 0:
            sys.exit(f"{name}: {source}.cpp does not compile:\n{done.stderr}")
        objects.append(target)
        said += done.stderr if source == "cases" else ""
    program = folder / name
    library = Path(LIBRARY)
    done = run([compiler, *flags, *objects, WRAP, f"-L{library.parent}", "-lcairn",
                f"-Wl,-rpath,{library.parent}", "-o", program])
    if done.returncode != 0:
        sys.exit(f"{name} does not link:\n{done.stderr}")
    return program, said


def results(program, env=None):
    """{case: (value, objects, with the pass, without)}, and what was said on the way to a bad end."""
    done = run([program], env, timeout=10)
    table = {}
    for line in done.stdout.splitlines():
        name, *numbers = line.split()
        table[name] = tuple(map(int, numbers))
    return table, "" if done.returncode == 0 else f"exit {done.returncode}: {done.stderr[:2000]}"


def expect(condition, text):
    if not condition:
        problems.append(text)


def check_remarks(said):
    verdicts = {}
    for line, text in re.findall(r"cases\.cpp:(\d+):\d+: remark: (.*) \[-Rpass", said):
        verdicts.setdefault(int(line), []).append(text)
    for number, line in enumerate((HERE / "cases.cpp").read_text().splitlines(), 1):
        wanted = re.search(r"make(?:_\w+)?<.*// (stack|heap)(?:-16K)?(?:: (.*))?$", line)
        if not wanted:
            continue
        got = verdicts.pop(number, [])
        if wanted[1] == "stack":
            right = got and all("does not escape" in text for text in got)
        else:
            right = any("escapes to heap" in text and wanted[2] in text for text in got)
        expect(right, f"line {number}: wanted {wanted.groups()}, got {got}")
    expect(not verdicts, f"remarks on lines that expect none: {verdicts}")


def check_objects(table):
    for name, (_, objects, with_pass, _) in table.items():
        # Fewer than told may be: loops are peeled. None is not.
        right = objects <= with_pass and (objects > 0 or with_pass == 0)
        expect(right, f"{name}: {objects} heap objects, {with_pass} expected")


def check_same(table, plain, what):
    expect(table.keys() == plain.keys(), f"{what}: {sorted(plain.keys() - table.keys())} did not run")
    for name, (value, *_) in table.items():
        expect(name in plain and value == plain[name][0],
               f"{what}: {name} gives {value}, not {plain.get(name)}")


def check_sanitized(folder):
    """AddressSanitizer watches what the pass moved; and it sees it when too much was moved."""
    flags = ("-O1", "-g", "-fsanitize=address", "-fsanitize-address-use-after-scope")
    # Its frames lie where the collector does not look, so no cycle may run; its pthread_create comes second.
    quiet = {"ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=1:verify_asan_link_order=0",
             "LD_PRELOAD": LIBRARY, "CAIRN_GC": "off", "CASES_COLLECT": "0"}
    (folder / "empty.c").write_text("int main(void) { return 0; }\n")
    if run([CLANG, "-fsanitize=address", "-x", "c", folder / "empty.c", "-o", folder / "empty"]).returncode:
        print(f"clang {MAJOR} has no AddressSanitizer here: left out")
        return
    program, _ = build(folder, "sanitized", CLANG, PASS, flags)
    table, end = results(program, quiet)
    expect(table and not end, f"under AddressSanitizer: {end}")
    program, _ = build(folder, "forced_sanitized", CLANG, PASS, flags, {"CAIRN_ESCAPE_FORCE": "1"})
    _, end = results(program, quiet)
    expect("stack-use-after" in end, f"AddressSanitizer does not see what is wrong when all is moved: {end}")


def check_forced(folder, plain):
    program, _ = build(folder, "forced", CLANG, PASS, env={"CAIRN_ESCAPE_FORCE": "1"})
    table, end = results(program)
    wrong = [name for name in plain if name not in table or table[name][0] != plain[name][0]]
    expect(len(wrong) >= 3, f"moving everything changes only {wrong} {end}: the values do not test the pass")


def check_limits(folder):
    _, said = build(folder, "large", CLANG, PASS, env={"CAIRN_ESCAPE_MAX": "64K"})
    expect("65536 bytes on the stack" in said and "65537 bytes, limit 65536" in said, "CAIRN_ESCAPE_MAX=64K")
    _, said = build(folder, "odd", CLANG, PASS, env={"CAIRN_ESCAPE_MAX": "lots"})
    expect(said.count("CAIRN_ESCAPE_MAX=lots is no size") == 1, "a bad CAIRN_ESCAPE_MAX is told")
    _, said = build(folder, "off", CLANG, PASS, env={"CAIRN_ESCAPE": "off"})
    expect(said == "", f"CAIRN_ESCAPE=off: {said}")
    _, said = build(folder, "slow", CLANG, PASS, ("-O0",))
    wanted = "cairn-escape: nothing is moved to the stack at -O0; compile with -O1 or more\n"
    expect(said == wanted, f"-O0: {said}")


def check_code(folder):
    """What a slot has: no barrier, a lifetime, and no call that takes its frame's place."""
    code = folder / "cases.s"
    said = run([CLANG, "-std=c++20", "-O2", PASS[0], "-I", INCLUDE, "-S", HERE / "cases.cpp", "-o",
                code]).stderr
    bodies = dict(re.findall(r"^_Z\d+(c\d\w+?)v:(.*?)\.cfi_endproc", code.read_text(), re.M | re.S))
    for name in ("c12b_two", "c12c_barrier", "c12d_ring", "c12e_self", "c23_atomic"):
        expect(name in bodies and "cairn_barrier" not in bodies[name], f"{name} has barriers {said}")
    expect("cairn_barrier" in bodies["c12f_ring_kept"], "objects on the heap have no barriers")
    frame = re.search(r"subq\s+\$(\d+), %rsp", bodies["c10f_scratch"])
    expect(frame and int(frame[1]) < 2000, f"three objects one after the other: {frame and frame[0]}")
    for name in ("c05a_known", "c06_result", "c12d_ring"):
        expect("call" in bodies[name] and not re.search(r"jmp\s+_Z", bodies[name]), f"{name} ends in a jump")


def check_records(folder):
    """The same verdicts as YAML."""
    run([CLANG, "-std=c++20", "-O2", f"-fpass-plugin={PLUGIN}", "-I", INCLUDE, "-c", HERE / "cases.cpp", "-o",
         folder / "cases.o", "-fsave-optimization-record=yaml", "-foptimization-record-passes=escape",
         f"-foptimization-record-file={folder}/cases.yaml"])
    text = (folder / "cases.yaml").read_text()
    for kind, keys in (("Passed", ("Object", "Size")), ("Missed", ("Object", "Reason", "Where"))):
        records = [record for record in text.split("--- !") if record.startswith(kind)]
        full = [record for record in records if all(f"- {key}:" in record for key in keys)]
        expect(len(full) > 20, f"{len(records)} records of {kind}, {len(full)} with {keys}")


def main():
    if not shutil.which(CLANG):
        print(f"no {CLANG}: skipped")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain, end = results(build(folder, "plain", CXX)[0])
        expect(plain and not end, f"without the pass: {end}")
        for case, (_, objects, _, without) in plain.items():
            expect(objects == without, f"{case}: {objects} heap objects without the pass, {without} expected")
        program, said = build(folder, "moved", CLANG, PASS)
        check_remarks(said)
        table, end = results(program)
        expect(not end, f"with the pass: {end}")
        check_same(table, plain, "with the pass")
        check_objects(table)
        check_code(folder)
        check_records(folder)
        if "--quick" not in sys.argv:
            check_forced(folder, plain)
            check_sanitized(folder)
            check_limits(folder)
    print("\n".join([*problems, f"clang {MAJOR}: {len(plain)} cases, {len(problems)} problems"]))
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
