#!/usr/bin/env python3
"""`cairn map`: live processes, snapshots, pictures, pages in a browser, and processes that cannot be mapped.

Usage: map_test.py CAIRN [CASE...].
"""
# SPDX-License-Identifier: MIT
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as xml
import zlib
from contextlib import contextmanager
from pathlib import Path

from command import Command, Skipped, expect, expect_mistake, need

cairn = Command(sys.argv)
WORK = cairn.work

HOLD = """
    #include <malloc.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <unistd.h>
    int main(int count, char** words) {
        size_t total = (size_t)atol(words[1]) << 20, got = 0, n = 0, live = 0, live_bytes = 0;
        static void* all[1 << 22];
        unsigned long r = 1;
        setvbuf(stdout, 0, _IONBF, 0);
        for (long i = 0; count > 2 && i < atol(words[2]); ++i) if (!malloc(1ul << 30)) return 1;
        while (got < total) {
            r = r * 6364136223846793005ul + 1442695040888963407ul;
            size_t size = r >> 58 == 0 ? (r >> 33) % 200000 : 16 + (r >> 40) % 300;
            got += size;
            memset(all[n++] = malloc(size), 1, size);
        }
        for (size_t i = 0; i < n; ++i)
            if (i * 2654435761u >> 5 & 1) free(all[i]);
            else { ++live; live_bytes += malloc_usable_size(all[i]); }
        printf("%zu %zu\\n", live, live_bytes);
        pause();
    }"""


@contextmanager
def running(*words, options=(), ready=True):
    """A program under `cairn run`, its first line read; ended with the block."""
    child = subprocess.Popen([cairn.cairn, "run", *options, "--", *map(str, words)], text=True,
                             stdout=subprocess.PIPE)
    try:
        yield child, child.stdout.readline() if ready else ""
    finally:
        child.kill()
        child.stdout.close()
        child.wait()


def mapped(target, *more):
    done = cairn("map", target, "--json", *more)
    expect(done, 0)
    return json.loads(done.stdout)


# ---- what is read is what is there

@cairn.case
def counts_equal_the_programs_own():
    for layout in "sparse", "linear":
        with running(cairn.compile("hold", HOLD), 40, options=["--layout", layout]) as (child, line):
            live, live_bytes = map(int, line.split())
            heap = mapped(child.pid)
            assert heap["layout"] == layout and heap["torn_spans"] == 0
            # every object of the program, and nothing else: it took stdio's buffer away
            assert heap["live"] == {"objects": live, "bytes": live_bytes}, (heap["live"], line)
            pages = sum(arena["span_pages"] for arena in heap["arenas"])
            assert pages * 8192 == heap["spans"]["bytes"], (pages, heap["spans"])
            inside = heap["live"]["bytes"] + heap["internal_waste"]["tail_bytes"]
            kept = heap["external_waste"]["free_slot_bytes"] + heap["external_waste"]["cached_bytes"]
            assert inside + kept == heap["spans"]["bytes"], heap


@cairn.case
def redis_maps_as_it_reports():
    need("redis-server")
    socket = WORK / "redis.sock"
    report = WORK / "report.json"
    with running("redis-server", "--port", 0, "--unixsocket", socket, "--save", "", "--dir", WORK,
                 options=["--report=json", "--report-file", report], ready=False) as (child, _):
        ask = lambda *words, **more: subprocess.run(["redis-cli", "-s", socket, *words], text=True,
                                                    capture_output=True, **more).stdout
        threading.Thread(target=child.stdout.read, daemon=True).start()
        deadline = time.time() + 20
        while "PONG" not in ask("ping") and time.time() < deadline:
            time.sleep(0.05)
        ask(input="".join(f"set key:{i} {'v' * (1 + i * 37 % 4000)}\n" for i in range(20000)))
        ask(input="".join(f"del key:{i}\n" for i in range(0, 20000, 3)))
        time.sleep(0.5)
        heap = mapped(child.pid)
        used = int(re.search(r"used_memory:(\d+)", ask("info", "memory")).group(1))
        ask("shutdown", "nosave")
        child.wait(timeout=20)
    told = json.loads(report.read_text())
    # Redis adds up the usable sizes of its blocks; Lua's and libc's are not among them.
    assert used <= heap["live"]["bytes"] <= used * 1.05 + (2 << 20), (used, heap["live"])
    # Before it exits it gives small blocks of Lua's back, but none of the values.
    by_class = {row["class"]: row["live"] for row in heap["classes"]}
    large = [row for row in told["classes"] if row["object_bytes"] > 512 and row["live"] > 300]
    assert len(large) > 5
    for row in large:
        assert abs(by_class[row["class"]] - row["live"]) <= row["live"] / 50, (row, by_class)
    in_use = told["spans"]["in_use_bytes"]
    assert abs(heap["spans"]["bytes"] - in_use) <= in_use / 10, (heap["spans"], in_use)


# Preloaded into a server: on a signal it lets malloc itself tell its counts, on stderr.
TELLER = """
    #include <malloc.h>
    #include <signal.h>
    static void tell(int number) { (void)number; malloc_stats(); }
    __attribute__((constructor)) static void listen(void) {
        struct sigaction action = {0};
        action.sa_handler = tell;
        action.sa_flags = SA_RESTART;
        sigaction(SIGUSR2, &action, 0);
    }"""


def told_by_itself(pid, file):
    """Live objects of each class, as the process counts its own calls: nothing of it comes from bitmaps."""
    before = file.stat().st_size
    os.kill(pid, signal.SIGUSR2)
    deadline = time.time() + 10
    while not re.search(r"^  OS .*\n", file.read_text()[before:], re.M) and time.time() < deadline:
        time.sleep(0.02)
    rows = re.findall(r"^ +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) ", file.read_text()[before:], re.M)
    return {int(number): int(live) for number, _, _, _, live in rows if live != "0"}


@cairn.case
def redis_maps_to_the_object_as_it_counts_itself():
    server, teller = need("redis-server"), cairn.compile("teller.so", TELLER, "-shared", "-fPIC")
    socket, told = WORK / "counted.sock", WORK / "counted.txt"
    words = ["--port", 0, "--unixsocket", socket, "--save", "", "--dir", WORK, "--hz", 1]
    with open(told, "w") as stderr:
        child = subprocess.Popen([cairn.cairn, "run", "--", server, *map(str, words)], stderr=stderr,
                                 stdout=subprocess.DEVNULL, env={**os.environ, "LD_PRELOAD": str(teller)})
    try:
        ask = lambda *words, **more: subprocess.run(["redis-cli", "-s", socket, *words], text=True,
                                                    capture_output=True, **more).stdout
        deadline = time.time() + 20
        while "PONG" not in ask("ping") and time.time() < deadline:
            time.sleep(0.05)
        ask(input="".join(f"set key:{i} {'v' * (1 + i * 37 % 4000)}\nlpush list {i}\n" for i in range(9000)))
        ask(input="".join(f"del key:{i}\n" for i in range(0, 9000, 3)))
        for _ in range(20):  # its own cron may come in between
            itself = told_by_itself(child.pid, told)
            heap = mapped(child.pid)
            seen = {row["class"]: row["live"] for row in heap["classes"] if row["class"] and row["live"]}
            again = told_by_itself(child.pid, told)
            if itself == again:
                break
        assert itself == again, "it was never quiet"
        assert heap["torn_spans"] == 0 and sum(itself.values()) > 20_000, itself
        assert seen == itself, {c: (seen.get(c), itself.get(c)) for c in {*seen, *itself}
                                if seen.get(c) != itself.get(c)}
    finally:
        child.kill()
        child.wait()


@cairn.case
def a_busy_process_can_be_read_all_along():
    program = cairn.compile("busy", """
        #include <pthread.h>
        #include <stdio.h>
        #include <stdlib.h>
        static void* work(void* seed) {
            void* all[5000] = {0};
            for (unsigned long r = (unsigned long)seed + 1;;) {
                r = r * 6364136223846793005ul + 1442695040888963407ul;
                free(all[(r >> 33) % 5000]);
                all[(r >> 33) % 5000] = malloc((r >> 50) % ((r >> 40) % 64 ? 600 : 100000));
            } }
        int main(void) {
            pthread_t t[3];
            for (long i = 0; i < 3; ++i) pthread_create(&t[i], 0, work, (void*)i);
            puts("ready"); fflush(stdout); pthread_join(t[0], 0); }""")
    with running(program) as (child, _):
        time.sleep(0.5)  # so that its tables are full
        for _ in range(40):
            heap = mapped(child.pid)
            assert heap["torn_spans"] <= heap["spans"]["count"] / 20, heap["torn_spans"]
            assert 10_000 < heap["live"]["objects"] < 15_500, heap["live"]
        assert child.poll() is None


@cairn.case
def a_gibibyte_takes_less_than_two_seconds():
    with running(cairn.compile("hold", HOLD), 1024) as (child, line):
        for out in [], ["-o", WORK / "big.html"], ["-o", WORK / "big.png"]:
            start = time.time()
            expect(cairn("map", child.pid, *out), 0)
            assert time.time() - start < 2, (out, time.time() - start)
        assert mapped(child.pid)["live"]["objects"] == int(line.split()[0])


@cairn.case
def ten_gibibytes_can_be_mapped():
    with running(cairn.compile("hold", HOLD), 100, 10) as (child, line):
        heap = mapped(child.pid)
        assert heap["live"]["bytes"] > 10 << 30 and len(heap["arenas"]) >= 160, heap["live"]
        start = time.time()
        for kind in "html", "svg", "png":
            expect(cairn("map", child.pid, "-o", WORK / f"ten.{kind}"), 0)
            assert (WORK / f"ten.{kind}").stat().st_size < 30 << 20
        assert time.time() - start < 15


@cairn.case
def ten_gibibytes_of_many_objects_can_be_mapped():
    room = int(re.search(r"MemAvailable: +(\d+)", Path("/proc/meminfo").read_text()).group(1)) >> 20
    if room < 4:
        raise Skipped(f"{room} GiB of memory are not enough")
    program = cairn.compile("many", """
        #include <malloc.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <unistd.h>
        int main(void) {
            static void* all[1 << 23];
            size_t n = 0, got = 0, live = 0, bytes = 0;
            unsigned long r = 1;
            setvbuf(stdout, 0, _IONBF, 0);
            while (got < 10ul << 30) {  // large ones are not written: a gigabyte of it is resident
                r = r * 6364136223846793005ul + 1442695040888963407ul;
                size_t size = r >> 58 == 0 ? (r >> 33) % 200000 : 16 + (r >> 40) % 300;
                all[n++] = malloc(size);
                got += malloc_usable_size(all[n - 1]);
            }
            for (size_t i = 0; i < n; ++i)
                if (i % 7 == 0) free(all[i]);
                else { ++live; bytes += malloc_usable_size(all[i]); }
            printf("%zu %zu\\n", live, bytes);
            pause();
        }""")
    with running(program) as (child, line):
        live, live_bytes = map(int, line.split())
        start = time.time()
        heap = mapped(child.pid)
        for kind in "html", "svg", "png":
            expect(cairn("map", child.pid, "-o", WORK / f"many.{kind}"), 0)
            assert (WORK / f"many.{kind}").stat().st_size < 100 << 20, kind
        took = time.time() - start
        assert heap["live"] == {"objects": live, "bytes": live_bytes}, (heap["live"], line)
        assert len(heap["arenas"]) >= 160 and live > 5_000_000, (len(heap["arenas"]), live)
        assert took < 20, took


# ---- snapshots and pictures

@cairn.case
def a_snapshot_is_the_same_heap():
    snapshot = WORK / "heap.map"
    with running(cairn.compile("hold", HOLD), 20) as (child, _):
        expect(cairn("map", child.pid, "--save", snapshot), 0, "^$")
        live = mapped(child.pid, "--spans")
    saved = mapped(snapshot, "--spans")
    for part in "live", "spans", "internal_waste", "classes", "pid", "command":
        assert saved[part] == live[part], part
    expect(cairn("map", snapshot), 0, r"live in [\d,]+ objects(.|\n)*waste inside(.|\n)*outside(.|\n)*@")


@cairn.case
def pictures_are_pictures():
    snapshot = WORK / "heap.map"
    with running(cairn.compile("hold", HOLD), 20) as (child, _):
        expect(cairn("map", child.pid, "--save", snapshot, "-o", WORK / "heap.svg"), 0)
    expect(cairn("map", snapshot, "-o", WORK / "heap.png"), 0)
    tree = xml.fromstring((WORK / "heap.svg").read_text())
    assert tree.tag.endswith("svg") and len(list(tree)) > 50
    png = (WORK / "heap.png").read_bytes()
    width, height = (int.from_bytes(png[at:at + 4], "big") for at in (16, 20))
    at, packed = 8, b""
    while at < len(png):
        size = int.from_bytes(png[at:at + 4], "big")
        kind, data = png[at + 4:at + 8], png[at + 8:at + 8 + size]
        assert zlib.crc32(kind + data) == int.from_bytes(png[at + 8 + size:at + 12 + size], "big"), kind
        packed += data if kind == b"IDAT" else b""
        at += size + 12
    assert len(zlib.decompress(packed)) == height * (width + 1) and height > 50
    expect_mistake(cairn("map", snapshot, "-o", "heap.bmp"), 2, "heap.bmp", ".html", ".svg", ".png")
    expect_mistake(cairn("map", snapshot, "-o", WORK / "no/heap.svg"), 125, "cannot write")
    expect_mistake(cairn("map", snapshot, "--save", WORK / "no/heap"), 125, "cannot write")


@cairn.case
def the_page_draws_and_a_click_reaches_a_slot():
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        raise Skipped("no Chromium")
    page = WORK / "heap.html"
    with running(cairn.compile("hold", HOLD), 20) as (child, line):
        expect(cairn("map", child.pid, "-o", page), 0)
        heap = mapped(child.pid)
    text = page.read_text()
    assert "http" not in text.replace("http://www.w3.org", ""), "the page must need no network"
    # Clicks as a hand would: on the first cell whose span has used and free slots, then on its slots.
    page.write_text(text.replace("</body>", """<script>
        window.onerror = what => { document.body.dataset.error = what; };
        const canvas = document.querySelector("canvas"), box = canvas.getBoundingClientRect();
        let page = 0;
        while (!(owner[page] && spanAt(owner[page] - 1).bits)) ++page;
        const hit = (what, at, kind) =>
            what.dispatchEvent(new MouseEvent(kind, { bubbles: true, clientX: at[0], clientY: at[1] }));
        const cell = [box.left + 1 + (page % LINE + 0.5) * (box.width - 2) / LINE,
                      box.top + 1 + (Math.floor(page / LINE) + 0.5) * (box.height - 2) / canvas.height];
        hit(canvas, cell, "mousemove");
        document.body.dataset.tip = document.getElementById("tip").textContent;
        hit(canvas, cell, "click");
        const slots = document.getElementById("slots"), at = slots.getBoundingClientRect();
        const seen = {};
        for (let i = 0; i < shown.slots; ++i) {
            hit(slots, [at.left + i % 32 * 14 + 5, at.top + Math.floor(i / 32) * 14 + 5], "click");
            const text = document.getElementById("slot").textContent;
            const state = text.split(": ")[1];
            seen[state] = (seen[state] || 0) + 1;
            if (i === 3) document.body.dataset.slot = text;
        }
        const dots = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        const colours = new Set();
        for (let i = 0; i < dots.length; i += 4) colours.add(dots[i] << 16 | dots[i + 1] << 8 | dots[i + 2]);
        document.querySelectorAll("button").forEach(button => button.click());
        document.querySelector("#classes tr.row").click();
        document.body.dataset.result = JSON.stringify({ shown, seen, colours: colours.size,
            spans: spans.length / FIELDS });
        </script></body>"""))
    done = subprocess.run([browser, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
                           f"--user-data-dir={WORK}/browser", "--dump-dom", page.as_uri()], text=True,
                          capture_output=True, timeout=110)
    assert "CONSOLE" not in done.stderr, [x for x in done.stderr.splitlines() if "CONSOLE" in x]
    assert "data-error" not in done.stdout
    field = lambda name: re.search(f'data-{name}="([^"]*)"', done.stdout).group(1).replace("&quot;", '"')
    result = json.loads(field("result"))
    assert result["spans"] == heap["spans"]["count"] and result["colours"] > 5, result
    shown, seen = result["shown"], result["seen"]
    assert seen.get("with the program", 0) == shown["live"], result
    assert seen.get("in a cache", 0) == shown["cached"], result
    assert sum(seen.values()) == shown["slots"]
    assert field("slot").startswith("slot 3 at 0x"), field("slot")
    assert "slots of" in field("tip") and "live" in field("tip"), field("tip")


# ---- what cannot be mapped

@cairn.case
def what_is_not_on_cairn_is_told():
    expect_mistake(cairn("map"), 2, "cairn map PID", "cairn map FILE")
    expect_mistake(cairn("map", 2 ** 22 + 7), 125, "there is no process")
    child = subprocess.Popen(["sleep", "60"])
    expect_mistake(cairn("map", child.pid), 125, str(child.pid), "does not run on Cairn", "cairn run")
    child.kill()
    time.sleep(0.1)
    expect_mistake(cairn("map", child.pid), 125, "has ended")  # a zombie: nobody has waited yet
    child.wait()
    expect_mistake(cairn("map", WORK / "none"), 125, "No such file", "process id")
    (WORK / "text").write_text("some text")
    expect_mistake(cairn("map", WORK / "text"), 125, "is not a snapshot", "--save")
    (WORK / "cut").write_bytes(b"CAIRNMAP\x01\0\0\0")
    expect_mistake(cairn("map", WORK / "cut"), 125, "snapshot")
    (WORK / "newer").write_bytes(b"CAIRNMAP\x09\0\0\0" + bytes(100))
    expect_mistake(cairn("map", WORK / "newer"), 125, "version 9", "version 2")


@cairn.case
def what_is_not_ours_is_told():
    if os.getuid() != 0:
        expect_mistake(cairn("map", 1), 125, "may not be read")
        return
    with running(cairn.compile("hold", HOLD), 1) as (child, _):
        WORK.chmod(0o755)
        copy = WORK / "cairn"
        shutil.copy(cairn.cairn, copy)
        done = subprocess.run([copy, "map", str(child.pid)], text=True, capture_output=True, user=65534,
                              group=65534, extra_groups=[])
        expect_mistake(done, 125, str(child.pid), "may not be read", "another user")


@cairn.case
def another_build_is_told():
    # A library that exports a table of its own: of another version, then of ours but with rows missing.
    for version, words in (7, ("another build", "version 7")), (1, ("another build", "lacks")):
        table = cairn.compile(f"libother{version}.so", f"""
            #include <stdint.h>
            struct field {{ char name[32]; const void* address; uint64_t number; }};
            static const struct field fields[] = {{{{"page_bytes", 0, 8192}}}};
            const struct {{ uint64_t magic; uint32_t version, field_bytes; uint64_t count;
                            const struct field* fields; char text[16]; }}
                cairn_heap_table = {{0x4c424154504e5243ull, {version}, 48, 1, fields, "9.9.9"}};""",
                              "-shared", "-fPIC")
        child = subprocess.Popen(["sleep", "60"], env={**os.environ, "LD_PRELOAD": str(table)})
        time.sleep(0.3)
        expect_mistake(cairn("map", child.pid), 125, str(child.pid), *words)
        child.kill()
        child.wait()


@cairn.case
def a_library_built_anew_is_read_and_named():
    own = next(path for path in (cairn.cairn.parent.parent / "lib").glob("**/libcairn-malloc.so"))
    other = WORK / "libcairn-malloc.so"
    program = cairn.compile("hold", HOLD)
    for change in False, True:
        code = bytearray(own.read_bytes())
        note = code.index(b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0") + 16  # the build id follows
        if change:
            code[note] ^= 255
        other.write_bytes(code)
        child = subprocess.Popen([program, "4"], text=True, stdout=subprocess.PIPE,
                                 env={**os.environ, "LD_PRELOAD": str(other)})
        live = int(child.stdout.readline().split()[0])
        heap, text = mapped(child.pid), cairn("map", child.pid).stdout
        child.kill()
        child.stdout.close()
        child.wait()
        assert heap["library"] == {"file": str(other), "build_id": code[note:note + 20].hex(),
                                   "is_own_build": not change}, heap["library"]
        assert ("of another build" in text) == change, text
        assert heap["live"]["objects"] == live


cairn.main()
