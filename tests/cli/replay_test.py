#!/usr/bin/env python3
"""`cairn replay` from outside: real traces on all policies, the page in a browser, and every mistake.

Usage: replay_test.py CAIRN. Prints what failed and `N passed, N failed`; the exit code says whether any did.
Traces are recorded here, from python3 and, where they are, sqlite3, g++ and redis. The page is opened in a
headless Chromium where there is one.
"""
# SPDX-License-Identifier: MIT
import json
import os
import pty
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import xml.dom.minidom
import zlib
from pathlib import Path

CAIRN = Path(sys.argv[1]).resolve()
WORK = Path(tempfile.mkdtemp(prefix="cairn-replay-"))
TEXTBOOK = ["bump", "first-fit", "next-fit", "best-fit", "best-fit-tree", "segregated"]
ALL = TEXTBOOK + ["cairn", "cairn-linear", "system"]
cases = []


def case(function):
    cases.append(function)
    return function


def cairn(*arguments, timeout=120, **options):
    return subprocess.run([CAIRN, *map(str, arguments)], text=True, capture_output=True, timeout=timeout,
                          stdin=subprocess.DEVNULL, **options)


def replay(*arguments, **options):
    return cairn("replay", *arguments, **options)


def record(name, *command, env=None):
    """The largest trace that came of it: a driver's child does the work."""
    trace = WORK / name
    done = cairn("run", "--record", trace, "--", *command, cwd=WORK, env={**os.environ, **(env or {})})
    assert done.returncode == 0, done.stderr
    return max(WORK.glob(name + "*"), key=lambda path: path.stat().st_size)


def figures(trace, *arguments):
    done = replay(trace, "--json", "--runs", 1, *arguments)
    assert done.returncode == 0 and not done.stderr, f"exit {done.returncode}: {done.stderr}"
    found = json.loads(done.stdout)
    return found, {policy["policy"]: policy for policy in found["policies"]}


def expect_mistake(done, code, *words):
    """One line on stderr, opened by `cairn: `, with all `words` in it; nothing on stdout."""
    told = f"exit {done.returncode}\n out: {done.stdout[:200]!r}\n err: {done.stderr[:400]!r}"
    assert done.returncode == code and done.stdout == "", told
    assert done.stderr.startswith("cairn: ") and done.stderr.count("\n") == 1, told
    for word in words:
        assert word in done.stderr, f"wanted {word!r}; {told}"


def compile_c(name, text, *flags):
    source = WORK / (name + ".c")
    source.write_text(text)
    subprocess.run(["cc", source, "-o", WORK / name, *flags], check=True, capture_output=True)
    return WORK / name


PYTHON = """
import random
random.seed(1)
kept = [bytes(random.randrange(10, 3000)) for _ in range(3000)]
for i in range(20000):
    kept[random.randrange(len(kept))] = bytes(random.randrange(10, 3000))
"""


def python_trace():
    trace = WORK / "python"
    if not trace.exists():
        made = record("python", "python3", "-c", PYTHON, env={"PYTHONMALLOC": "malloc"})
        if made != trace:
            shutil.copy(made, trace)
    return trace


# ---- what is measured

@case
def all_policies_play_a_trace_of_python():
    found, policy = figures(python_trace())
    program = found["program"]
    assert program["events"] == program["takes"] + program["resizes"] + program["gives"]
    assert list(policy) == ALL, list(policy)
    for name, one in policy.items():
        assert one["is_complete"] and one["ending"] == "complete", (name, one["ending"])
        assert one["played_events"] == program["events"], name
        assert one["ns"] > 0 and one["frames"] and one["moments"], name
        assert one["peak_footprint_bytes"] > 0.8 * program["peak_live_bytes"], name
        assert max(m[2] for m in one["moments"]) == program["peak_live_bytes"], f"{name}: the peak is sampled"
    for name in TEXTBOOK:
        assert policy[name]["extent_bytes"] >= program["peak_live_bytes"], name


@case
def what_sets_the_policies_apart_shows():
    found, policy = figures(python_trace(), "--policies", ",".join(TEXTBOOK))
    assert policy["bump"]["extent_bytes"] >= found["program"]["taken_bytes"], "nothing is used again"
    assert policy["bump"]["visited"] == 0 and policy["bump"]["merges"] == 0
    for name in TEXTBOOK[1:]:
        assert policy[name]["extent_bytes"] < policy["bump"]["extent_bytes"] / 2, name
        assert policy[name]["splits"] > 0 and policy[name]["merges"] > 0, name
    best, tree = policy["best-fit"], policy["best-fit-tree"]
    assert tree["visited"] < best["visited"] / 3, "the price of the whole list"
    assert abs(tree["extent_bytes"] - best["extent_bytes"]) < 0.1 * best["extent_bytes"], "the same policy"
    assert policy["segregated"]["visited_per_operation"] < 3
    assert best["extent_bytes"] < policy["first-fit"]["extent_bytes"] * 1.1


@case
def replays_are_repeatable():
    counts = ("visited", "most_visited", "splits", "merges", "growths", "extent_bytes")
    _, once = figures(python_trace(), "--policies", "first-fit,segregated")
    _, again = figures(python_trace(), "--policies", "first-fit,segregated")
    for name in once:
        assert [once[name][c] for c in counts] == [again[name][c] for c in counts], name


@case
def cairn_and_system_are_what_they_say():
    _, policy = figures(python_trace(), "--policies", "cairn,cairn-linear,system")
    assert policy["cairn"]["malloc_of"].endswith("libcairn-malloc.so"), policy["cairn"]["malloc_of"]
    assert policy["cairn-linear"]["malloc_of"].endswith("libcairn-malloc.so")
    assert "libc.so" in policy["system"]["malloc_of"], policy["system"]["malloc_of"]


@case
def any_library_can_be_a_policy():
    library = next(iter(sorted(Path("/usr/lib/x86_64-linux-gnu").glob("libjemalloc.so.*"))), None)
    if library is None:
        return "no jemalloc here"
    _, policy = figures(python_trace(), "--policies", library)
    assert policy[library.name]["is_complete"] and "jemalloc" in policy[library.name]["malloc_of"]


@case
def traces_of_other_programs_play():
    made = []
    if shutil.which("sqlite3"):
        query = ("with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000) "
                 "select count(distinct i || 'x') from n;")
        made.append(record("sqlite", "sqlite3", ":memory:", query))
    if shutil.which("g++"):
        (WORK / "one.cpp").write_text("#include <map>\nint main() { return std::map<int, int>().size(); }\n")
        made.append(record("gxx", "g++", "-c", "one.cpp", "-o", "one.o"))
    if shutil.which("redis-server") and shutil.which("redis-cli"):
        made.append(redis_trace())
    for trace in made:
        assert trace.stat().st_size < 1 << 20, trace
        _, policy = figures(trace, "--policies", "bump,first-fit,best-fit-tree,segregated,cairn,system")
        for name, one in policy.items():
            assert one["is_complete"], (trace, name, one["ending"])
    return None if len(made) == 3 else f"only {len(made)} of 3 programs are here"


def redis_trace():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    trace = WORK / "redis"
    command = ["redis-server", "--port", port, "--save", "", "--daemonize", "no"]
    server = subprocess.Popen([CAIRN, "run", "--record", trace, "--", *command], cwd=WORK,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        ask = ["redis-cli", "-p", port]
        until = time.monotonic() + 20
        while subprocess.run([*ask, "ping"], capture_output=True).returncode and time.monotonic() < until:
            time.sleep(0.05)
        script = "for i = 1, 5000 do redis.call('set', 'key:' .. i, string.rep('x', i % 500)) end"
        subprocess.run([*ask, "eval", script, "0"], check=True, capture_output=True, timeout=60)
        subprocess.run([*ask, "shutdown", "nosave"], capture_output=True, timeout=60)
        server.wait(60)
    finally:
        if server.poll() is None:
            server.kill()
            server.wait()
    return trace


# ---- what is written

@case
def the_table_has_a_row_a_policy():
    done = replay(python_trace(), "--policies", "bump,segregated,system", "--runs", 1)
    assert done.returncode == 0, done.stderr
    for name in ("bump", "segregated", "system"):
        assert re.search(rf"^{name} +[\d.]+ +[\d.]+ ", done.stdout, re.M), done.stdout
    assert "Playing alone" in done.stdout


@case
def on_a_terminal_progress_is_shown():
    trace, (ours, theirs) = python_trace(), pty.openpty()
    words = [CAIRN, "replay", trace, "--policies", "best-fit", "--runs", "1"]
    child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    seen = b""
    try:
        while part := os.read(ours, 4096):
            seen += part
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert child.wait() == 0
    assert re.search(rb"reading .*: \d+ %", seen), seen[:200]
    assert re.search(rb"best-fit: [\d,]+ of [\d,]+ events \(", seen), seen[-200:]
    assert seen.endswith(b"\r\x1b[K"), "the line is wiped"


@case
def pictures_can_be_read():
    svg, png = WORK / "p.svg", WORK / "p.png"
    done = replay(python_trace(), "--policies", "first-fit,cairn", "--runs", 1, "--svg", svg, "--png", png)
    assert done.returncode == 0, done.stderr
    picture = xml.dom.minidom.parse(str(svg))
    assert len(picture.getElementsByTagName("rect")) > 500
    assert "first-fit" in svg.read_text()
    data = png.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, pixels = 8, b""
    while at < len(data):
        length = int.from_bytes(data[at:at + 4], "big")
        body = data[at + 4:at + 8 + length]
        assert zlib.crc32(body) == int.from_bytes(data[at + 8 + length:at + 12 + length], "big"), body[:4]
        pixels += body[4:] if body[:4] == b"IDAT" else b""
        at += 12 + length
    width, height = (int.from_bytes(data[i:i + 4], "big") for i in (16, 20))
    assert len(zlib.decompress(pixels)) == (width + 1) * height


def page():
    file = WORK / "page.html"
    if not file.exists():
        shown = ("--policies", "bump,first-fit,cairn,system")
        done = replay(python_trace(), *shown, "--runs", 1, "--html", file)
        assert done.returncode == 0, done.stderr
    return file


@case
def the_page_needs_nothing_beside_itself():
    text = page().read_text()
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", text) and "@import" not in text
    assert text.count("<script") == 2 and text.rstrip().endswith("</html>")


@case
def the_page_draws_in_a_browser():
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        return "no Chromium here"
    # Moves the slider, points at a cell and at a curve, and writes down what is to be seen.
    probe = """<script>addEventListener('load', () => {
        const ink = canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data
            .filter((v, i) => i % 4 === 3 && v > 0).length;
        const canvases = [...document.querySelectorAll('canvas')].map(ink);
        const seen = { canvases, rows: byId('table').rows.length };
        const captions = () => policies.map(p => p.caption.textContent);
        seen.late = captions();
        byId('moment').value = 0;
        byId('moment').dispatchEvent(new Event('input'));
        seen.early = captions();
        byId('moment').value = 1000;
        byId('moment').dispatchEvent(new Event('input'));
        const move = (canvas, x, y) => {
            canvas.onmousemove({ offsetX: x, offsetY: y, clientX: 0, clientY: 0 });
            return byId('hint').textContent;
        };
        seen.cell = move(policies[1].canvas, 4, 4);
        seen.curve = move(byId('memory'), 200, 50);
        document.title = 'seen ' + JSON.stringify(seen);
    });</script></body>"""
    probed = WORK / "probed.html"
    probed.write_text(page().read_text().replace("</body>", probe))
    switches = ["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0",
                f"--user-data-dir={WORK}/browser", "--window-size=1200,1000"]
    done = subprocess.run([browser, *switches, "--dump-dom", f"file://{probed}"], text=True,
                          capture_output=True, timeout=120)
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert not console, console
    title = re.search(r"<title>seen (.*?)</title>", done.stdout)
    assert title, (done.stdout[:300], done.stderr[-300:])
    seen = json.loads(title.group(1).replace("&quot;", '"').replace("&lt;", "<").replace("&amp;", "&"))
    assert seen["rows"] == 5 and len(seen["canvases"]) == 3 + 4, seen
    assert all(ink > 1000 for ink in seen["canvases"]), seen["canvases"]
    assert seen["early"] != seen["late"], "the slider moves the picture"
    assert re.search(r"^0x[0-9a-f]+, .*\n.*alive", seen["cell"]), seen["cell"]
    assert "first-fit: " in seen["curve"] and "alive: " in seen["curve"], seen["curve"]


# ---- what goes wrong

@case
def a_small_region_ends_one_policy_and_not_the_others():
    done = replay(python_trace(), "--policies", "bump,segregated,system", "--region", "12MiB", "--runs", 1)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^bump .*out of its region at event \d+ \(\d+ %\)$", done.stdout, re.M), done.stdout
    assert not re.search(r"^(segregated|system) .*(out of|ended)", done.stdout, re.M), done.stdout


@case
def when_no_policy_comes_to_its_end_the_exit_code_says_so():
    done = replay(python_trace(), "--policies", "bump,first-fit", "--region", "64KiB", "--runs", 1)
    assert done.returncode == 125 and done.stdout.count("out of its region") == 2, done.stdout


@case
def out_of_time_is_told():
    done = replay(python_trace(), "--policies", "best-fit,system", "--time-limit", "0.0001", "--runs", 1)
    assert re.search(r"^best-fit .*out of time at event \d+", done.stdout, re.M), done.stdout


@case
def a_library_that_crashes_or_lies_is_told():
    crash = compile_c("crash.so", "#include <stddef.h>\n"
                      "extern void *__libc_malloc(size_t);\n"
                      "void *malloc(size_t n) { static int k; if (++k > 9000) *(volatile int *)8 = 1;"
                      " return __libc_malloc(n); }", "-shared", "-fPIC", "-O1")
    twice = compile_c("twice.so", "#include <stddef.h>\n"
                      "extern void *__libc_malloc(size_t);\n"
                      "void *malloc(size_t n) { static void *last; static int k;"
                      " if (n == 777) return last; void *p = __libc_malloc(n);"
                      " if (n >= 16 && ++k > 5000 && !last) last = p; return p; }"
                      "void free(void *p) { (void)p; }", "-shared", "-fPIC", "-O1", "-fno-builtin")
    empty = compile_c("empty.so", "int nothing;", "-shared", "-fPIC")
    (WORK / "text.so").write_text("no library")
    done = replay(python_trace(), "--policies", f"{crash},{twice},{empty},system", "--runs", 1)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^crash.so .*killed by signal 11 .* at event \d+", done.stdout, re.M), done.stdout
    assert re.search(r"^twice.so .*(gave out memory twice|killed)", done.stdout, re.M), done.stdout
    assert re.search(r"^empty.so .*not loaded: malloc is that of .*libc", done.stdout, re.M), done.stdout
    done = replay(python_trace(), "--policies", f"{WORK}/text.so,system", "--runs", 1)
    assert re.search(r"^text.so .*not loaded", done.stdout, re.M), done.stdout


@case
def a_cut_trace_is_played_to_its_end_and_the_end_is_told():
    # one block is 65,536 events: what is cut in the second still has the first
    whole = record("long", "python3", "-c", "x = [bytes(i % 999 + 600) for i in range(60000)]")
    data = whole.read_bytes()
    cut = WORK / "cut"
    cut.write_bytes(data[:len(data) - len(data) // 8])
    done = replay(cut, "--policies", "segregated", "--runs", 1)
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert re.search(r"trace|cut|end", done.stdout.splitlines()[3]), done.stdout


@case
def what_is_no_trace_is_refused_in_a_line():
    foreign = WORK / "foreign"
    foreign.write_bytes(b"\x7fELF" + bytes(1000))
    empty = WORK / "nothing"
    empty.write_bytes(b"")
    newer = bytearray(python_trace().read_bytes())
    newer[8] = 99
    (WORK / "newer").write_bytes(newer)
    corrupt = bytearray(python_trace().read_bytes())
    corrupt[20:40] = bytes(20)
    (WORK / "corrupt").write_bytes(corrupt)
    said = {"foreign": ["trace"], "nothing": [], "newer": ["99"], "corrupt": [], "absent": ["No such"]}
    for name, words in said.items():
        expect_mistake(replay(WORK / name), 125, f"replay: {WORK / name}", *words)


@case
def wrong_usage_is_told_with_what_would_be_right():
    trace = python_trace()
    expect_mistake(replay(), 2, "no trace given", "--record")
    expect_mistake(replay(trace, "--policies", "worst-fit"), 2, "worst-fit", "first-fit", "cairn-linear")
    expect_mistake(replay(trace, "--policies", ","), 2, "valid: bump")
    expect_mistake(replay(trace, "--policies", "/nowhere/lib.so"), 125, "no library at /nowhere/lib.so")
    expect_mistake(replay(trace, "--region", "4KB"), 2, "--region", "MiB")
    expect_mistake(replay(trace, "--region", "1"), 2, "--region", "4KiB")
    expect_mistake(replay(trace, "--time-limit", "0"), 2, "--time-limit")
    expect_mistake(replay(trace, "--runs", "0"), 2, "--runs")
    expect_mistake(replay(trace, "--fast"), 2, "--fast", "--policies")
    expect_mistake(replay(trace, "two"), 2, "two")
    done = replay(trace, "--policies", "system", "--runs", 1, "--html", "/nowhere/page.html")
    assert done.returncode == 125 and "cannot write /nowhere/page.html" in done.stderr, done.stderr


@case
def help_names_every_policy():
    done = cairn("help", "replay")
    assert done.returncode == 0
    for name in ALL:
        assert re.search(rf"^  {name} ", done.stdout, re.M), name


def main():
    failed = 0
    try:
        for one in cases:
            try:
                note = one()
                if note:
                    print(f"{one.__name__}: {note}")
            except Exception as wrong:  # whatever it is, the next case shall run
                failed += 1
                print(f"FAILED {one.__name__}: {type(wrong).__name__}: {wrong}")
    finally:
        shutil.rmtree(WORK, ignore_errors=True)
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
