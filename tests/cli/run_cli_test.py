#!/usr/bin/env python3
"""The `cairn` command from outside: every verb, every mistake, every exit code, signals and scripts.

Usage: run_cli_test.py CAIRN LIBRARY_FOLDER. Prints what failed and `N passed, N failed`; the exit code says
whether any did. Programs under `run` are preloaded with an empty library, so that this tests the command and
not the heap; the last cases take the real one.
"""
# SPDX-License-Identifier: MIT
import json
import os
import pty
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CAIRN = Path(sys.argv[1]).resolve()
LIBRARY = Path(sys.argv[2]).resolve() / "libcairn-malloc.so"
COLLECTOR = LIBRARY.parent / "libgc/libgc.so.1"
WORK = Path(tempfile.mkdtemp(prefix="cairn-cli-"))
EMPTY = WORK / "empty.so"
cases = []


def case(function):
    cases.append(function)
    return function


def cairn(*arguments, env=None, cairn=CAIRN, **options):
    return subprocess.run([cairn, *map(str, arguments)], text=True, capture_output=True, timeout=60,
                          env={**os.environ, **(env or {})}, **options)


def run(*arguments, **options):
    """`cairn run` on the empty library."""
    return cairn("run", "--lib", EMPTY, *arguments, **options)


def expect(done, code, out=None, err=None):
    """`out` and `err` are patterns to find; where `err` is not given there must be nothing on stderr."""
    told = (f"{done.args[1:]}: exit {done.returncode}\n"
            f"  out: {done.stdout[:300]!r}\n  err: {done.stderr[:300]!r}")
    assert done.returncode == code, f"wanted exit {code}; {told}"
    assert out is None or re.search(out, done.stdout), f"wanted /{out}/ in out; {told}"
    assert re.search(err, done.stderr) if err else not done.stderr, f"wanted /{err}/ in err; {told}"


def expect_mistake(done, code, *words):
    """One line on stderr, opened by `cairn: `, with all `words` in it; nothing on stdout."""
    expect(done, code, err="^cairn: ")
    assert done.stdout == "" and done.stderr.count("\n") == 1, f"wanted one line: {done.stderr!r}"
    for word in words:
        assert word in done.stderr, f"wanted {word!r} in {done.stderr!r}"


def script(name, text, mode=0o755):
    path = WORK / name
    path.write_text(text) if isinstance(text, str) else path.write_bytes(text)
    path.chmod(mode)
    return path


def compile_c(name, text, *flags):
    source = WORK / (name + ".c")
    source.write_text(text)
    subprocess.run(["cc", source, "-o", WORK / name, *flags], check=True, capture_output=True)
    return WORK / name


def patched_true(name, old, new):
    """A copy of a real program with some bytes of it changed."""
    data = Path("/bin/true").resolve().read_bytes()
    at = data.index(old) if isinstance(old, bytes) else old
    return script(name, data[:at] + new + data[at + len(new):])


# ---- the command itself

@case
def overview_and_version():
    expect(cairn("--version"), 0, r"^cairn \d+\.\d+\.\d+$")
    expect(cairn("--help"), 0, "run .*\n.*classes .*\n.*explain .*\n.*layout ")
    expect(cairn("help"), 0, "Usage: cairn VERB")
    expect(cairn(), 2, err="Usage: cairn VERB")


@case
def unknown_words_name_the_valid_ones():
    expect_mistake(cairn("brew"), 2, "'brew'",
                   "run, classes, explain, layout, replay, trace, map, escape, help")
    expect_mistake(cairn("--brew"), 2, "--brew", "--version", "explain")
    expect_mistake(cairn("help", "brew"), 2, "'brew'", "env", "explain")
    expect_mistake(cairn("classes", "--brew"), 2, "--brew", "--format")
    expect_mistake(cairn("layout", "--brew"), 2, "--brew", "--platform")
    expect_mistake(cairn("explain", "--brew", "3"), 2, "--brew", "--align")
    expect_mistake(run("--brew", "true"), 2, "--brew", "--memory-limit", "--layout", "--report")
    expect_mistake(cairn("classes", "more"), 2, "'more'")


@case
def every_verb_has_help_that_teaches():
    for verb, word in ("run", "127"), ("classes", "tail waste"), ("explain", "tiny"), ("layout", "linear"):
        expect(cairn(verb, "--help"), 0, word)
        expect(cairn(verb, "-h"), 0, word)
        assert cairn("help", verb).stdout == cairn(verb, "--help").stdout


@case
def help_env_lists_the_options():
    expect(cairn("help", "env"), 0, "CAIRN_MEMORY_LIMIT\n.*\n.*values: .*default: off")


# ---- classes

@case
def classes_as_text():
    done = cairn("classes")
    expect(done, 0, r"class +bytes/obj +bytes/span +objects +tail waste +max waste +min align")
    lines = done.stdout.splitlines()
    assert len(lines) == 68, len(lines)
    assert lines[5].split() == ["5", "48", "8192", "170", "32", "31.52", "%", "16"], lines[5]
    assert lines[67].split() == ["67", "32768", "32768", "1", "0", "12.50", "%", "8192"], lines[67]


@case
def classes_as_markdown():
    done = cairn("classes", "--format", "markdown")
    expect(done, 0, r"\| 5 \| 48 \| 8192 \| 170 \| 32 \| 31.52 % \| 16 \|")
    assert {line.count("|") for line in done.stdout.splitlines()} == {8}


@case
def classes_as_json():
    document = json.loads(cairn("classes", "--format=json").stdout)
    rows = document["classes"]
    assert len(rows) == 67 and document["page_bytes"] == 8192
    for row in rows:
        assert row["objects"] * row["object_bytes"] + row["tail_waste_bytes"] == row["span_bytes"], row
    assert rows[4]["max_waste"] == 2582 / 8192 and rows[4]["smallest_request"] == 33


@case
def classes_in_no_other_form():
    expect_mistake(cairn("classes", "--format", "yaml"), 2, "yaml", "text", "markdown", "json")
    expect_mistake(cairn("classes", "--format"), 2, "--format")


# ---- explain

@case
def explain_writes_the_arithmetic_out():
    done = cairn("explain", 33)
    expect(done, 0, r"33 bytes: small, class 5 \(48-byte slots\)")
    for text in "((48 − 33) × 170 + 32) / 8192 = 2582 / 8192 = 31.52 %", "1 page = 8192 bytes", "170 slots":
        assert text in done.stdout, text


@case
def explain_finds_the_worked_vectors():
    vectors = {1: 1, 8: 1, 9: 2, 17: 3, 25: 4, 33: 5, 49: 6, 1016: 32, 1017: 32, 1025: 33, 1153: 34,
               2049: 39, 3073: 42, 6785: 50, 8193: 52, 9473: 53, 16385: 60, 28673: 67, 32768: 67}
    rows = json.loads(cairn("explain", "--json", *vectors).stdout)
    assert [row["go"]["class"] for row in rows] == list(vectors.values())


@case
def explain_tells_where_malloc_differs():
    row = json.loads(cairn("explain", "--json", 20).stdout)[0]
    assert row["go"]["object_bytes"] == 24 and row["malloc"]["object_bytes"] == 32
    expect(cairn("explain", 20), 0, r"malloc +class 4 \(32 bytes\): malloc promises 16-byte alignment")
    expect(cairn("explain", 48), 0, "malloc +the same class")


@case
def explain_knows_tiny_zero_and_large():
    expect(cairn("explain", 12), 0, "12 bytes: tiny(.|\n)*16-byte block")
    expect(cairn("explain", 0), 0, "0 bytes: no slot(.|\n)*class 1")
    expect(cairn("explain", 32769), 0, r"large, 5 pages(.|\n)*8191 / 40960 = 20.00 %")
    expect(cairn("explain", "9223372036854775807"), 0, "large")


@case
def explain_takes_units_and_several_sizes():
    done = cairn("explain", "1KiB", "1.5K", "48B", "2MiB")
    expect(done, 0, "1,024 bytes: small, class 32")
    for text in "1,536 bytes: small, class 36", "48 bytes: small, class 5", "2,097,152 bytes: large, 256":
        assert text in done.stdout, text


@case
def explain_heeds_alignments():
    expect(cairn("explain", 100, "--align", 64), 0, r"class 10 \(128-byte slots\)(.|\n)*only 16-byte aligned")
    expect(cairn("explain", 100, "--align=16KiB"), 0, "large, 1 page(.|\n)*multiple of 16384")
    expect(cairn("explain", 0, "--align", 16384), 0, "large, 1 page")
    for bad in 0, 3, "x":
        expect_mistake(cairn("explain", 100, "--align", bad), 2, f"'{bad}'", "power of two")


@case
def explain_refuses_what_is_no_size():
    expect_mistake(cairn("explain"), 2, "no size", "48, 1KiB")
    expect_mistake(cairn("explain", "-5"), 2, "'-5'", "0 or more")
    for bad in "abc", "1KB", "12x", "1.", ".5", "", "1 2":
        expect_mistake(cairn("explain", bad), 2, f"'{bad}'", "KiB")
    expect_mistake(cairn("explain", "1.3"), 2, "whole number")
    for bad in "9223372036854775808", "99999999999999999999999999999999999999999", "8388608TiB":
        expect_mistake(cairn("explain", bad), 2, bad, "9223372036854775807")


# ---- layout

@case
def layout_shows_the_arithmetic():
    done = cairn("layout")
    expect(done, 0, "4M × 8 B = 32 MB of pointers")
    for text in ("4M × 64 MB = 256 TB", "arena 2,109,440", "512 GB", "512 MB", "16 GB", "67,108,864",
                 "83 KB", "2.07 MB", "&[8192]int64{} stays", "2 KB × 2^18 = 512 MB"):
        assert text in done.stdout, text


@case
def layout_measures_what_is_resident():
    measured = json.loads(cairn("layout", "--json").stdout)["measured"]
    assert measured["table_reserved_bytes"] == 32 << 20
    assert measured["table_resident_bytes"] == os.sysconf("SC_PAGESIZE"), measured


@case
def layout_says_when_it_cannot_measure():
    done = cairn("layout", preexec_fn=limit_addresses)
    expect(done, 0, "not measured: the system refused 32 MB")


def limit_addresses():
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (24 << 20, 24 << 20))


@case
def layout_knows_every_platform():
    names = re.search("Platforms: (.*)", cairn("layout", "--help").stdout).group(1).split(", ")
    assert {"linux/amd64", "windows/amd64", "ios/arm64", "linux/386", "linux/mips", "wasm"} <= set(names)
    for name in names:
        row = json.loads(cairn("layout", "--json", "--platform", name).stdout)
        assert row["arena_bytes"] * row["l1_entries"] * row["l2_entries"] == 2 ** row["address_bits"], name
        expect(cairn("layout", "--platform", name), 0, f"Sparse layout on {name}")
    expect(cairn("layout", "--platform", "windows/amd64"), 0, "64 × 1M × 4 MB = 256 TB")
    expect_mistake(cairn("layout", "--platform", "vax"), 2, "'vax'", *names)


@case
def layout_works_out_addresses():
    row = json.loads(cairn("layout", "--json", "--address", "0xffff800000000000").stdout)
    assert row["example"]["arena"] == 0
    expect_mistake(cairn("layout", "--address", "0x800000000000"), 2, "out of reach", "0x7fffffffffff")
    expect_mistake(cairn("layout", "--address", "here"), 2, "'here'", "0xc000000000")


# ---- run: what the program sees

@case
def run_keeps_exit_codes_and_streams():
    for summary in (), ("--summary",):
        for code in 0, 1, 7, 125, 255:
            assert run(*summary, "--", "sh", "-c", f"exit {code}").returncode == code
        done = run(*summary, "--", "sh", "-c", "cat; echo problem >&2", input="through\n")
        expect(done, 0, "^through\n$", "^problem\n")


@case
def run_splits_its_options_from_the_program():
    expect(run("echo", "--summary", "-x", "--", "y"), 0, "^--summary -x -- y$")
    expect(run("--", "echo", "--", "--layout", "wrong"), 0, "^-- --layout wrong$")
    expect(run("--verify", "sh", "-c", "echo $0", "--help"), 0, "^--help\n$")
    expect_mistake(cairn("run"), 2, "no program", "cairn run [OPTIONS] -- PROGRAM")
    expect_mistake(cairn("run", "--"), 2, "no program")
    expect_mistake(cairn("run", "--report"), 2, "no program")
    expect_mistake(cairn("run", "--", ""), 2, "no program")


@case
def run_sets_the_environment():
    done = run("--memory-limit", "0.25GiB", "--layout", "linear", "--verify", "--report=json",
               "--report-file", "heap.json", "--", "env", cwd=WORK)
    expect(done, 0)
    for text in ("CAIRN_MEMORY_LIMIT=256MiB", "CAIRN_LAYOUT=linear", "CAIRN_VERIFY=1",
                 f"CAIRN_REPORT=json:{WORK}/heap.json", f"LD_PRELOAD={EMPTY}", "CAIRN_REPORT_PID="):
        assert text in done.stdout.splitlines() or text.endswith("=") and text in done.stdout, text
    assert "CAIRN_REPORT=text\n" in run("--report", "env").stdout
    assert f"CAIRN_REPORT=text:{WORK}/r\n" in run("--report-file", WORK / "r", "env").stdout
    assert "CAIRN_MEMORY_LIMIT=off\n" in run("--memory-limit", "off", "env").stdout
    assert "CAIRN_MEMORY_LIMIT=1000\n" in run("--memory-limit", "1000", "env").stdout


@case
def run_leaves_the_environment_where_no_option_speaks():
    before = {"CAIRN_LAYOUT": "linear", "CAIRN_REPORT": "json", "CAIRN_X": "1"}
    done = run("--layout", "sparse", "env", env=before)
    for text in "CAIRN_LAYOUT=sparse", "CAIRN_REPORT=json", "CAIRN_X=1":
        assert text in done.stdout.splitlines(), text
    done = run("env", env={"LD_PRELOAD": "libm.so.6"})
    assert f"LD_PRELOAD={EMPTY}:libm.so.6" in done.stdout, done.stdout


@case
def run_names_the_process_that_reports():
    for summary in (), ("--summary",):
        done = run(*summary, "sh", "-c", "echo $$ $CAIRN_REPORT_PID")
        own, told = done.stdout.split()
        assert own == told, done.stdout


@case
def run_refuses_bad_values():
    expect_mistake(run("--layout", "round", "true"), 2, "round", "sparse", "linear")
    expect_mistake(run("--report=xml", "true"), 2, "xml", "text", "json")
    for bad in "lots", "12MB", "0", "-1":
        expect_mistake(run("--memory-limit", bad, "true"), 2, "--memory-limit", "valid", "off")
    expect_mistake(run("--report-file", WORK / "none/r", "true"), 2, "--report-file", "none/r")


# ---- run: what cannot be run

@case
def run_says_127_for_what_is_missing():
    expect_mistake(run("cairn-no-such-program"), 127, "cairn-no-such-program", "PATH")
    expect_mistake(run("./no-such-program"), 127, "./no-such-program")
    expect_mistake(run("/bin/true/below"), 127, "/bin/true/below")


@case
def run_says_126_for_what_cannot_be_executed():
    expect_mistake(run(script("plain", "text\n", 0o644)), 126, "plain", "not executable")
    expect_mistake(run(WORK), 126, "is a directory")
    expect_mistake(run(script("orphan", "#!/no/such/interpreter\n")), 126, "/no/such/interpreter", "missing")
    expect_mistake(run(script("noise", b"\x01\x00\x02\x03" * 50)), 126, "neither a program nor a script")
    expect_mistake(run(script("stump", b"\x7fELF\x02\x01\x01")), 126, "cut short")
    path = {"PATH": f"{WORK}:{os.environ['PATH']}"}
    expect_mistake(run("plain", env=path), 126, "plain", "not executable")


@case
def run_says_125_for_static_programs():
    static = compile_c("static", "int main(void) { return 0; }", "-static")
    expect_mistake(run(static), 125, "static", "linked statically")
    expect_mistake(run(script("on_static", f"#!{static}\n")), 125, "linked statically")
    by_env = script("env_static", "#!/usr/bin/env static\n")
    expect_mistake(run(by_env, env={"PATH": f"{WORK}:{os.environ['PATH']}"}), 125, "linked statically")
    pie = compile_c("static_pie", "int main(void) { return 0; }", "-static-pie")
    expect_mistake(run(pie), 125, "linked statically")


@case
def run_says_125_for_programs_with_privileges():
    for name, bits, word in ("setuid", stat.S_ISUID, "setuid"), ("setgid", stat.S_ISGID, "setgid"):
        copy = script(name, Path("/bin/true").resolve().read_bytes())
        copy.chmod(0o755 | bits)
        expect_mistake(run(copy), 125, str(copy), f"it is {word}")
    capable = script("capable", Path("/bin/true").resolve().read_bytes())
    try:
        # Version 2, effective; the one permitted capability is cap_net_bind_service.
        os.setxattr(capable, "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
    except OSError:
        print("skipped: file capabilities, which need a privilege to set")
        return
    expect_mistake(run(capable), 125, "file capabilities")


@case
def run_says_125_for_other_machines():
    expect_mistake(run(patched_true("narrow", 4, b"\x01")), 125, "32-bit")
    expect_mistake(run(patched_true("foreign", 18, b"\xb7\x00")), 125, "another processor")
    linker = b"/lib64/ld-linux-x86-64.so.2\0"
    if linker in Path("/bin/true").resolve().read_bytes():
        musl = b"/lib/ld-musl-x86_64.so.1".ljust(len(linker), b"\0")
        expect_mistake(run(patched_true("musl", linker, musl)), 125, "musl")


@case
def run_says_125_when_the_library_is_not_there():
    expect_mistake(cairn("run", "--lib", WORK / "none.so", "true"), 125, "none.so")
    blank = WORK / "a b.so"
    shutil.copy(EMPTY, blank)
    expect_mistake(cairn("run", "--lib", blank, "true"), 125, "a b.so", "blank")
    alone = WORK / "alone/bin/cairn"
    alone.parent.mkdir(parents=True)
    shutil.copy(CAIRN, alone)
    expect_mistake(cairn("run", "true", cairn=alone), 125, "libcairn-malloc.so", "--lib")


@case
def run_finds_the_library_beside_the_command():
    for number, folder in enumerate(("lib", "lib/cairn", "lib/x86_64-linux-gnu")):
        root = WORK / f"installed{number}"
        (root / "bin").mkdir(parents=True)
        (root / folder).mkdir(parents=True)
        shutil.copy(CAIRN, root / "bin/cairn")
        shutil.copy(EMPTY, root / folder / "libcairn-malloc.so")
        done = cairn("run", "cat", "/proc/self/maps", cairn=root / "bin/cairn")
        expect(done, 0, f"{root}/{folder}/libcairn-malloc.so")
        link = WORK / f"link{number}"
        link.symlink_to(root / "bin/cairn")
        expect(cairn("run", "true", cairn=link), 0)


# ---- run: scripts

@case
def run_takes_scripts():
    expect(run(script("by_sh", "#!/bin/sh\necho $1 $LD_PRELOAD\n"), "hello"), 0, f"^hello {EMPTY}\n$")
    expect(run(script("by_env", "#!/usr/bin/env -S python3 -E\nprint('snake')\n")), 0, "^snake\n$")
    expect(run(script("bare", "echo bare $0 $1\n"), "one"), 0, f"^bare {WORK}/bare one\n$")
    expect(run(script("twice", f"#!{WORK}/by_sh\n"), "x"), 0, "twice")
    expect(run("by_sh", "found", env={"PATH": f"{WORK}:{os.environ['PATH']}"}), 0, "^found")


@case
def run_takes_the_dynamic_linker():
    linker = Path("/lib64/ld-linux-x86-64.so.2")
    if linker.exists():
        expect(run(linker, Path("/bin/true").resolve()), 0)


# ---- run: signals and the summary

@case
def run_dies_as_the_program_dies():
    for summary in (), ("--summary",):
        for name in "TERM", "KILL", "ABRT", "SEGV", "INT":
            number = getattr(signal, "SIG" + name)
            assert run(*summary, "sh", "-c", f"kill -{name} $$").returncode == -number, name


@case
def run_forwards_signals():
    traps = "trap 'exit 42' TERM; trap 'echo one' USR1; echo ready; while :; do sleep 0.05; done"
    for summary in (), ("--summary",):
        child = subprocess.Popen([CAIRN, "run", "--lib", EMPTY, *summary, "sh", "-c", traps],
                                 text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGUSR1)
        assert child.stdout.readline() == "one\n"
        child.send_signal(signal.SIGTERM)
        assert child.wait(timeout=20) == 42
        child.stdout.close()


@case
def run_lets_the_keyboard_interrupt_once():
    program = ("import signal, time\nhits = []\nsignal.signal(signal.SIGINT, lambda *_: hits.append(1))\n"
               "print('ready', flush=True)\nend = time.time() + 10\n"
               "while not hits and time.time() < end: time.sleep(0.02)\n"
               "time.sleep(0.4)\nprint('hits', len(hits), flush=True)\n")
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(CAIRN, [str(CAIRN), "run", "--lib", str(EMPTY), "--summary", "python3", "-c", program])
    seen = b""
    while b"hits" not in seen or not seen.endswith(b"\n"):
        seen += os.read(terminal, 1000)
        if b"ready" in seen and b"\x03" not in seen and b"^C" not in seen:
            os.write(terminal, b"\x03")
            time.sleep(0.1)
    os.waitpid(pid, 0)
    os.close(terminal)
    assert b"hits 1" in seen, seen


@case
def run_summary_tells_time_memory_and_end():
    form = r"^cairn: wall \d+\.\d{3} s, user \d+\.\d{3} s, sys \d+\.\d{3} s, peak RSS \d+\.\d MiB, %s\n$"
    expect(run("--summary", "true"), 0, err=form % "exit 0")
    expect(run("--summary", "sh", "-c", "exit 3"), 3, err=form % "exit 3")
    expect(run("--summary", "sh", "-c", "kill -TERM $$"), -15, err=form % "signal 15")
    used = run("--summary", "python3", "-c", "x = b'1' * (64 << 20)").stderr
    assert float(re.search(r"RSS ([\d.]+)", used).group(1)) > 64, used
    ignoring = run("--summary", "true", preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    expect(ignoring, 0, err=form % "exit 0")


# ---- run: the real library

@case
def run_preloads_the_real_library():
    expect(cairn("run", "cat", "/proc/self/maps"), 0, re.escape(str(LIBRARY)))


# ---- run: programs of libgc

MAPS = """#include <stdio.h>
void* GC_malloc(unsigned long);
int main(void) {
    FILE* maps = fopen("/proc/self/maps", "r");
    for (int c; (c = getc(maps)) != EOF;) putchar(c);
    return GC_malloc(16) == NULL;
}
"""


@case
def run_puts_a_client_on_the_collector():
    client = compile_c("client", MAPS, str(COLLECTOR))
    by_hand = script("client-script", f"#!{client}\n")
    by_env = script("client-env", f"#!/usr/bin/env {client}\n")
    for program in (client, by_hand, by_env):
        done = cairn("run", program)
        expect(done, 0, re.escape(str(COLLECTOR)))
        assert str(LIBRARY) not in done.stdout, done.stdout
    done = cairn("run", "--libgc", "--malloc", client)
    expect(done, 0, re.escape(str(COLLECTOR)))
    assert str(LIBRARY) in done.stdout, done.stdout
    done = cairn("run", "--malloc", client, env={"LD_LIBRARY_PATH": str(COLLECTOR.parent)})
    expect(done, 0, re.escape(str(LIBRARY)))
    for shell in ("/bin/sh", "/usr/bin/env bash"):
        done = cairn("run", script("client-wrapper", f"#!{shell}\nexec {client}\n"))
        expect(done, 0, re.escape(str(COLLECTOR)))
        assert str(LIBRARY) in done.stdout, done.stdout


@case
def run_puts_a_client_on_both():
    headers = Path(__file__).resolve().parents[2] / "include/cairn/compat"
    text = (Path(__file__).parent / "both.c").read_text()
    client = compile_c("both", text, "-isystem", headers, str(COLLECTOR), "-lpthread")
    for options in ((), ("--libgc",), ("--malloc", "--libgc"), ("--malloc", "--libgc", "--verify")):
        done = cairn("run", *options, "--report", client)
        expect(done, 0, "^done$", "cycles ")
        reports = done.stderr.count("cairn report: both")
        assert reports == (2 if "--malloc" in options else 1), done.stderr


@case
def run_finds_a_client_behind_a_library():
    compile_c("libbehind.so", "void* GC_malloc(unsigned long); void* behind(void) { return GC_malloc(1); }",
              "-shared", "-fPIC", str(COLLECTOR))
    text = MAPS.replace("GC_malloc(16)", "behind()").replace("GC_malloc(unsigned long)", "behind(void)")
    client = compile_c("behind", text, WORK / "libbehind.so",
                       f"-Wl,-rpath,$ORIGIN,-rpath-link,{COLLECTOR.parent}")
    expect(cairn("run", "--auto", client), 0, re.escape(str(COLLECTOR)))


@case
def run_is_told_what_to_use():
    show = ("sh", "-c", "echo $LD_LIBRARY_PATH:$LD_PRELOAD:")
    expect(cairn("run", "--libgc", *show), 0, f"^{re.escape(str(COLLECTOR.parent))}::$")
    expect(cairn("run", "--libgc", *show, env={"LD_LIBRARY_PATH": "/nowhere"}), 0, ":/nowhere::$")
    expect(cairn("run", "--auto", *show), 0, f"^:{re.escape(str(LIBRARY))}:$")
    expect_mistake(cairn("run", "--auto", "--libgc", "true"), 2, "--auto")
    expect_mistake(cairn("run", "--record", WORK / "t", "--libgc", "true"), 2, "--libgc")


def main():
    EMPTY.write_text("")
    compile_c("empty.so", "int cairn_test_nothing;", "-shared", "-fPIC")
    failed = 0
    for check in cases:
        try:
            check()
        except Exception as problem:  # a case that breaks is a case that failed
            failed += 1
            print(f"FAILED {check.__name__}: {type(problem).__name__} {problem}")
    shutil.rmtree(WORK, ignore_errors=True)
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
