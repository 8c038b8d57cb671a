#!/usr/bin/env python3
"""`cairn run --record` and `cairn trace`: real programs, threads, forks, crashes, files that are no traces.

Usage: record_test.py CAIRN [CASE...]. Traces are made here and thrown away.
"""
# SPDX-License-Identifier: MIT
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from command import Command, Skipped, expect, expect_mistake, need

cairn = Command(sys.argv)
WORK = cairn.work


def record(*program, name="trace", options=(), **more):
    """The trace as `cairn trace --json` tells it, after the program ran recorded."""
    file = WORK / name
    done = cairn("run", "--record", file, *options, "--", *program, **more)
    return done, told(file)


def told(file, code=0):
    done = cairn("trace", "--json", file)
    expect(done, code)
    return json.loads(done.stdout)


def expect_sane(trace, least_events=0):
    """What holds for every trace of a correct program."""
    assert trace["is_complete"], trace.get("trouble")
    assert trace["wrong_frees"] == 0 and trace["unknown_frees"] == 0, trace["wrong_frees"]
    assert trace["events"] >= least_events, trace["events"]
    calls = trace["calls"]
    made = calls["malloc"] + calls["calloc"] + calls["aligned"]
    assert made - calls["free"] == trace["end"]["objects"], (calls, trace["end"])
    assert sum(row["count"] for row in trace["sizes"]) == made + calls["realloc"]
    assert sum(row["count"] for row in trace["lifetimes"]) == calls["free"]
    assert trace["peak"]["bytes"] == max(trace["live"]["bytes"]), (trace["peak"], max(trace["live"]["bytes"]))


def child_of(pid):
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def python():
    """The interpreter itself: what is found as python3 may be a script that looks for it."""
    return sys.executable


# ---- what is recorded

@cairn.case
def every_call_is_there():
    program = cairn.compile("calls", """
        #include <malloc.h>
        #include <stdlib.h>
        int main(void) {
            void* a = malloc(100); void* b = calloc(3, 50); void* c = aligned_alloc(64, 640);
            void* d = 0; posix_memalign(&d, 4096, 10);
            a = realloc(a, 50000); a = realloc(a, 60000); b = realloc(b, 151); void* e = realloc(0, 7);
            free(malloc(0)); free(0); realloc(e, 0); free(memalign(32, 5)); free(valloc(1));
            malloc((size_t)1 << 60); free(a); free(d); return 0; }""")
    done, trace = record(program)
    expect(done, 0, err=f"recorded .* events? of {program} in {WORK}/trace")
    expect_sane(trace)
    calls = trace["calls"]
    assert calls["malloc"] == 3 and calls["calloc"] == 1 and calls["aligned"] == 4, calls
    assert calls["realloc"] == 3 and calls["failed"] == 1 and calls["free"] == 6, calls
    assert trace["end"] == {"bytes": 151 + 640, "objects": 2}, trace["end"]
    assert trace["status"] == 0 and trace["command"] == [str(program)]
    assert {row["from_bytes"] for row in trace["alignments"]} == {32, 64, 4096}, trace["alignments"]


@cairn.case
def new_and_delete_are_there():
    program = cairn.compile("news", """
        #include <memory>
        #include <new>
        struct alignas(128) Wide { char c[256]; };
        int* volatile one; char* volatile many; Wide* volatile wide;
        int main() { one = new int; delete one; many = new char[99]; delete[] many; wide = new Wide;
            delete wide; wide = new Wide[2]; one = new (std::nothrow) int; delete one; return 0; }""",
                            suffix=".cpp")
    calls = record(program)[1]["calls"]
    # the C++ library takes a block of its own at the start
    assert calls["aligned"] == 2 and calls["malloc"] == 4 and calls["free"] == 4, calls


@cairn.case
def call_sites_name_file_and_offset():
    program = cairn.compile("sites", """
        #include <stdlib.h>
        __attribute__((noinline)) void* here(void) { void* p = malloc(12345); return p; }
        int main(void) { for (int i = 0; i < 10; ++i) here(); return 0; }""", "-g")
    done, trace = record(program, options=["--record-sites"])
    expect_sane(trace)
    rows = [row for row in trace["sites"] if row["bytes"] == 123450]
    assert len(rows) == 1 and rows[0]["module"] == str(program), trace["sites"]
    assert rows[0]["allocations"] == 10, rows
    line = subprocess.run(["addr2line", "-f", "-e", program, hex(rows[0]["offset"] - 1)], text=True,
                          capture_output=True).stdout
    assert line.startswith("here\n"), line
    expect(cairn("trace", WORK / "trace"), 0, r"Call sites.*\n.*\n.*sites\+0x")
    assert "sites" not in record(program)[1]


@cairn.case
def options_are_checked():
    expect_mistake(cairn("run", "--record-sites", "true"), 2, "--record-sites", "--record FILE")
    expect_mistake(cairn("run", "--record", WORK / "no/trace", "true"), 125, "no/trace", "cannot write")
    expect_mistake(cairn("run", "--record", WORK, "true"), 125, str(WORK), "cannot write")
    expect(cairn("run", "--record", WORK / "t", "--", "sh", "-c", "exit 7"), 7)


# ---- threads, forks, ends

CROSS = """
    #include <stdatomic.h>
    #include <pthread.h>
    #include <stdlib.h>
    static _Atomic(void*) slots[256];
    static long rounds;
    static void* work(void* seed) {
        unsigned long r = (unsigned long)seed * 7919 + 1;
        for (long i = 0; i < rounds; ++i) {
            r = r * 6364136223846793005ul + 1442695040888963407ul;
            void* mine = malloc(8 + (r >> 40) % 400);
            void* other = atomic_exchange(&slots[(r >> 33) % 256], mine);
            if (r >> 63) other = realloc(other, 8 + (r >> 50) % 900);
            free(other);
        }
        return 0;
    }
    int main(int count, char** words) {
        int threads = atoi(words[1]);
        rounds = atol(words[2]);
        pthread_t t[threads];
        pthread_attr_t a; pthread_attr_init(&a); pthread_attr_setstacksize(&a, 65536);
        for (long i = 0; i < threads; ++i) if (pthread_create(&t[i], &a, work, (void*)i)) return 1;
        for (int i = 0; i < threads; ++i) pthread_join(t[i], 0);
        if (count > 3) abort();
        return 0;
    }"""


@cairn.case
def objects_that_change_hands_keep_their_order():
    program = cairn.compile("cross", CROSS)
    done, trace = record(program, 4, 200_000)
    expect(done, 0)
    expect_sane(trace, 1_500_000)
    assert trace["foreign_frees"] > 1000 and len(trace["threads"]) >= 5, trace["foreign_frees"]


@cairn.case
def more_threads_than_rings():
    program = cairn.compile("cross", CROSS)
    done, trace = record(program, 1500, 100)
    expect(done, 0)
    expect_sane(trace, 300_000)


@cairn.case
def threads_that_come_and_go_use_rings_again():
    program = cairn.compile("churn", """
        #include <pthread.h>
        #include <stdlib.h>
        static void* work(void* p) { for (int i = 0; i < 100; ++i) free(malloc(100)); return malloc(5); }
        int main(void) { for (int i = 0; i < 3000; ++i) { pthread_t t; void* p;
            pthread_create(&t, 0, work, 0); pthread_join(t, &p); free(p); } return 0; }""")
    done, trace = record(program)
    expect(done, 0)
    expect_sane(trace, 600_000)
    assert len(trace["threads"]) == 3001 and trace["foreign_frees"] >= 3000, len(trace["threads"])


@cairn.case
def a_crash_leaves_all_that_came_before():
    program = cairn.compile("cross", CROSS)
    done, trace = record(program, 2, 50_000, "die")
    assert done.returncode == -signal.SIGABRT, done.returncode
    expect_sane(trace, 200_000)
    assert trace["status"] == signal.SIGABRT, trace["status"]
    expect(cairn("trace", WORK / "trace"), 0, "killed by signal 6")


@cairn.case
def a_forked_child_is_not_recorded_and_an_executed_one_is():
    program = cairn.compile("forks", """
        #include <stdlib.h>
        #include <string.h>
        #include <sys/wait.h>
        #include <unistd.h>
        int main(int count, char** words) {
            if (count > 1) { for (int i = 0; i < 77; ++i) free(malloc(5)); return 0; }
            void* p = malloc(10);
            for (int kind = 0; kind < 2; ++kind) {
                if (fork() == 0) {
                    free(p);
                    for (int i = 0; i < 100000; ++i) free(malloc(i));
                    if (kind) execl(words[0], words[0], "again", (char*)0);
                    _exit(0);
                }
                int status; wait(&status); if (status) return 9;
            }
            if (vfork() == 0) execl(words[0], words[0], "again", (char*)0);
            int status; wait(&status);
            for (int i = 0; i < 10; ++i) free(malloc(1));
            free(p); return status; }""")
    done, trace = record(program)
    expect(done, 0, err="and .* events of 2 programs it started")
    expect_sane(trace)
    assert trace["events"] == 22, trace["events"]
    others = sorted(WORK.glob("trace.*"))
    assert len(others) == 2, others
    for other in others:
        assert told(other)["events"] == 154 and told(other)["command"][1] == "again"
        other.unlink()


@cairn.case
def a_program_that_becomes_another_gives_it_the_name():
    done, trace = record("sh", "-c", f"exec {python()} -c 'print(1)'")
    expect(done, 0, "^1\n")
    expect_sane(trace, 1000)
    assert trace["command"][0] == python(), trace["command"]


@cairn.case
def the_program_outlives_its_recorder():
    program = cairn.compile("long", """
        #include <stdio.h>
        #include <stdlib.h>
        int main(void) { puts("ready"); fflush(stdout);
            for (int i = 0; i < 20000000; ++i) free(malloc(i % 1000)); puts("done"); return 0; }""")
    file = WORK / "cut"
    child = cairn.start("run", "--record", file, "--", program)
    assert child.stdout.readline() == "ready\n"
    deadline = time.time() + 20
    while file.stat().st_size < 100_000 and time.time() < deadline:
        time.sleep(0.01)
    environment = Path(f"/proc/{child_of(child.pid)}/environ").read_text().split("\0")
    left = next(Path(line.split("=", 1)[1]) for line in environment if line.startswith("CAIRN_RECORD="))
    child.kill()
    assert child.stdout.readline() == "done\n"  # not our child, but it holds our pipe; its parent is a zombie
    child.wait()
    trace = told(file)
    assert not trace["is_complete"] and trace["wrong_frees"] == 0 and trace["events"] > 0
    expect(cairn("trace", file), 0, "cut short")
    assert left.exists()
    record("true")  # the next recorder clears away what the killed one left
    assert not left.exists()


@cairn.case
def nothing_is_left_behind():
    before = set(Path("/dev/shm").glob("cairn-record-*"))
    program = cairn.compile("cross", CROSS)
    record(program, 2, 100)
    record(program, 2, 100, "die")
    assert set(Path("/dev/shm").glob("cairn-record-*")) <= before


@cairn.case
def little_address_space_will_do():
    import resource
    program = cairn.compile("cross", CROSS)
    limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))
    done, trace = record(program, 2, 20_000, preexec_fn=limit)
    expect(done, 0)
    expect_sane(trace, 80_000)


@cairn.case
def signals_reach_the_program():
    child = cairn.start("run", "--record", WORK / "sig", "--", "sh", "-c",
                        "trap 'exit 42' TERM; echo ready; while :; do sleep 0.05; done")
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGTERM)
    assert child.wait(timeout=20) == 42
    child.stdout.close()


# ---- real programs

@cairn.case
def real_python():
    script = "import json\nx = [json.loads('[1, {\"a\": [2, 3]}]') for _ in range(50000)]\nprint(len(x))"
    done, trace = record(python(), "-c", script, env={"PYTHONMALLOC": "malloc"})
    expect(done, 0, "^50000\n")
    expect_sane(trace, 500_000)


@cairn.case
def real_sqlite():
    need("sqlite3")
    statements = """create table t(a, b);
        with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)
            insert into t select i, hex(randomblob(8)) from n;
        create index x on t(b);
        select count(*) from t p join t q on p.b = q.b;"""
    done, trace = record("sqlite3", ":memory:", statements)
    expect(done, 0, "^20000\n")
    expect_sane(trace, 100_000)


@cairn.case
def real_compiler():
    source = WORK / "unit.cpp"
    source.write_text("#include <map>\n#include <string>\nstd::map<std::string, int> m;\n")
    for old in WORK.glob("gxx*"):
        old.unlink()
    done, trace = record(need("g++"), "-c", source, "-o", WORK / "unit.o", name="gxx")
    expect(done, 0)
    expect_sane(trace)
    started = {Path(one["command"][0]).name: one for one in map(told, WORK.glob("gxx.*"))}
    assert {"cc1plus", "as"} <= set(started), list(started)
    assert started["cc1plus"]["events"] > 5_000
    for one in started.values():
        expect_sane(one)


@cairn.case
def real_redis():
    need("redis-server")
    need("redis-cli")
    socket = WORK / "redis.sock"
    server = subprocess.Popen([cairn.cairn, "run", "--record", WORK / "redis", "--", "redis-server",
                               "--port", "0", "--unixsocket", socket, "--save", "", "--dir", WORK],
                              start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        ask = lambda *words, **more: subprocess.run(["redis-cli", "-s", socket, *words], text=True,
                                                    capture_output=True, **more).stdout
        deadline = time.time() + 20
        while "PONG" not in ask("ping") and time.time() < deadline:
            time.sleep(0.05)
        commands = "".join(f"set key:{i} {'v' * (1 + i % 500)}\nlpush list {i}\n" for i in range(5000))
        ask(input=commands + "".join(f"del key:{i}\n" for i in range(2500)))
        assert ask("dbsize").strip() == "2501"
        ask("shutdown", "nosave")
        server.wait(timeout=20)
    finally:
        try:
            os.killpg(server.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # as it should be
        server.wait()
    trace = told(WORK / "redis")
    expect_sane(trace, 20_000)
    assert trace["end"]["objects"] > 0


# ---- the reader

@cairn.case
def what_is_no_trace_is_told_in_one_line():
    expect_mistake(cairn("trace"), 2, "no file", "cairn trace FILE")
    expect_mistake(cairn("trace", WORK / "none"), 125, "none", "No such file")
    expect_mistake(cairn("trace", WORK), 125, "is a directory")
    (WORK / "empty").write_text("")
    expect_mistake(cairn("trace", WORK / "empty"), 125, "is empty")
    (WORK / "text").write_text("a text, and a longer one")
    expect_mistake(cairn("trace", WORK / "text"), 125, "is not a Cairn trace")
    expect_mistake(cairn("trace", "--brew", "x"), 2, "--brew", "--json")


@cairn.case
def newer_cut_and_damaged_traces_are_told():
    program = cairn.compile("cross", CROSS)
    record(program, 1, 100_000)
    whole = (WORK / "trace").read_bytes()
    newer = WORK / "newer"
    newer.write_bytes(whole[:8] + b"\x02\x00" + whole[10:])
    expect_mistake(cairn("trace", newer), 125, "version 2", "newer Cairn", "version 1")
    cut = WORK / "cut"
    cut.write_bytes(whole[:len(whole) // 2])
    expect(cairn("trace", cut), 0, "cut short")
    assert not told(cut)["is_complete"] and told(cut)["events"] >= 65536
    bad = WORK / "bad"
    bad.write_bytes(whole[:len(whole) // 2] + b"XXXX" + whole[len(whole) // 2 + 4:])
    expect(cairn("trace", bad), 125, "events", "damaged at byte|damaged in the block")
    headless = WORK / "headless"
    headless.write_bytes(whole[:100])
    expect_mistake(cairn("trace", headless), 125, "cut short inside its header")


@cairn.case
def text_has_every_part():
    program = cairn.compile("cross", CROSS)
    record(program, 2, 20_000)
    text = cairn("trace", WORK / "trace").stdout
    for part in ("events", "malloc", "live at the peak", "Sizes asked for", "Lifetimes",
                 "Live bytes over time", "3 threads"):
        assert part in text, (part, text)


@cairn.case
def a_trace_can_come_through_a_pipe():
    program = cairn.compile("cross", CROSS)
    record(program, 1, 1000)
    done = subprocess.run([cairn.cairn, "trace", "/dev/stdin"], stdin=subprocess.Popen(
        ["cat", WORK / "trace"], stdout=subprocess.PIPE).stdout, capture_output=True, text=True)
    expect(done, 0, "exit code 0")


cairn.main()
