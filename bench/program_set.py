"""Whole programs nobody here wrote, on a workload of ours: each says how it is prepared, run and checked.

A program is `prepare`d once, in the launcher's place, and then run once a round on each allocator. Its output
must be the same on all of them: a fast wrong answer is a failure.
SPDX-License-Identifier: MIT
"""
import hashlib
import json
import shutil
import socket
import subprocess
import time
from pathlib import Path

from measure import Cost, Failure, HERE, linked_allocator

SOURCES = HERE / "programs"


class Program:
    """A program that reads files and prints an answer."""
    name = ""
    executable = ""
    full, tiny = 100, 10  # sizes of the workload

    def __init__(self, launcher, smoke):
        self.launcher = launcher
        self.place = launcher.place
        self.size = self.tiny if smoke else self.full
        self.output = self.place / f"{self.name}.out"
        self.input = "/dev/null"
        self.answer = None

    def available(self):
        return self.find(self.executable) is not None

    def find(self, executable):
        return shutil.which(executable, path=self.launcher.bare["PATH"])

    def prepare(self):
        pass

    def arguments(self):
        raise NotImplementedError

    def run(self, allocator):
        cost, = self.launcher.run(allocator, self.arguments(), stdin=self.input, stdout=self.output)
        self.check(hashlib.sha256(self.output.read_bytes()).hexdigest())
        return cost

    def check(self, answer):
        """The first answer of the run is the one the others must repeat."""
        if self.answer is None:
            self.answer = answer
        elif self.answer != answer:
            raise Failure("its output differs from the first allocator's")


class Python(Program):
    name, executable = "python", "/usr/bin/python3"

    def arguments(self):
        return [self.executable, SOURCES / "objects.py", self.size]


class Lua(Program):
    name, executable, full = "lua", "lua5.4", 160

    def arguments(self):
        return [self.executable, SOURCES / "tables.lua", self.size]


class Perl(Program):
    name, executable = "perl", "perl"

    def arguments(self):
        return [self.executable, SOURCES / "words.pl", self.size]


class Sqlite(Program):
    name, executable, full, tiny = "sqlite", "sqlite3", 250_000, 20_000

    def prepare(self):
        self.input = self.place / "orders.sql"
        self.input.write_text((SOURCES / "orders.sql").read_text().replace("@ROWS@", str(self.size)))

    def arguments(self):
        return [self.executable, "-batch", ":memory:"]


class Jq(Program):
    name, executable, full, tiny = "jq", "jq", 35_000, 3_000

    def prepare(self):
        rows = [{"id": i, "name": f"Item-{i * 7919 % 10007}", "tags": [str(i % 7), str(i % 11)],
                 "parent": {"path": "/".join(map(str, range(i % 6)))}} for i in range(self.size)]
        (self.place / "rows.json").write_text(json.dumps(rows))

    def arguments(self):
        return [self.executable, "-c", "-f", SOURCES / "reshape.jq", self.place / "rows.json"]


class Compiler(Program):
    """cc1plus alone, on a file preprocessed before: that is where g++ spends its time and memory."""
    name, executable = "g++", "g++"

    def prepare(self):
        source = SOURCES / ("containers.cpp" if self.size == self.full else "one_template.cpp")
        self.unit = self.place / "unit.ii"
        preprocess = [self.executable, "-std=c++20", "-E", "-DDEPTH=1", source, "-o", self.unit]
        subprocess.run(preprocess, check=True)
        self.inner = subprocess.run([self.executable, "-print-prog-name=cc1plus"], check=True, text=True,
                                    capture_output=True).stdout.strip()

    def arguments(self):
        return [self.inner, "-fpreprocessed", "-std=c++20", "-quiet", "-O2", self.unit, "-o", "-"]


class Ghostscript(Program):
    name, executable, full, tiny = "ghostscript", "gs", 2500, 100

    def arguments(self):
        return [self.executable, "-q", "-dNOPAUSE", "-dBATCH", f"-dworkload={self.size}", "-sDEVICE=ppmraw",
                "-r72", "-sOutputFile=%stdout", SOURCES / "figures.ps"]


class Redis(Program):
    """A server on the allocator, and redis-benchmark beside it on its own. The time is the client's for a
    fixed number of requests; processor time and peak RSS are the server's.

    Debian's server links jemalloc. Its glibc row preloads libc itself, so that glibc's malloc comes first.
    """
    name, executable, full, tiny = "redis", "redis-server", 150_000, 4_000
    commands = "set,get,lpush,lpop,sadd,hset,zadd"

    def available(self):
        return super().available() and self.find("redis-benchmark") is not None

    def prepare(self):
        own, libc = linked_allocator(self.find(self.executable))
        self.libc = libc if own else None

    def run(self, allocator):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        arguments = [self.executable, "--bind", "127.0.0.1", "--port", port, "--save", "",
                     "--appendonly", "no", "--dir", self.place]
        command = self.launcher.command(allocator, arguments, stdout=self.output,
                                        preload=None if allocator.library else self.libc)
        server = subprocess.Popen(command, env=self.launcher.bare, cwd=self.place, stdout=subprocess.PIPE,
                                  text=True)
        try:
            wall = self.load(server, port)
            report, _ = server.communicate(timeout=30)
        except (OSError, subprocess.CalledProcessError) as wrong:
            report, _ = server.communicate(timeout=30)  # a client loses its link when the server has died
            self.launcher.costs(report)
            raise Failure(f"the client failed: {wrong}") from None
        finally:
            server.kill()  # the launcher; its child dies with it
            server.wait()
        cost, = self.launcher.costs(report)
        return Cost(wall, cost.cpu_s, cost.peak_mib)

    def load(self, server, port):
        with self.connect(server, port) as link:
            client = ["redis-benchmark", "-p", str(port), "-q", "-n", str(self.size), "-P", "16", "-c", "32",
                      "-d", "200", "-r", "100000", "-t", self.commands]
            start = time.monotonic()
            subprocess.run(client, env=self.launcher.bare, check=True, stdout=subprocess.DEVNULL, timeout=120)
            wall = time.monotonic() - start
            self.check(self.dialogue(link))
            link.sendall(b"SHUTDOWN NOSAVE\r\n")
        return wall

    def connect(self, server, port):
        for _ in range(200):
            if server.poll() is not None:
                raise Failure("the server ended at once" + self.launcher.last_words())
            try:
                return socket.create_connection(("127.0.0.1", port), timeout=60)
            except OSError:
                time.sleep(0.05)
        raise Failure("the server does not answer")

    def dialogue(self, link):
        """Fills an empty database with known data and returns a digest of all replies."""
        lines = ["FLUSHALL"]
        lines += [f"SET key:{i} {'v' * (i % 300)}" for i in range(500)]
        lines += [f"RPUSH list {i * 7919 % 1009}" for i in range(500)]
        lines += [f"ZADD ranks {i * 31 % 997} member:{i}" for i in range(500)]
        lines += [f"APPEND key:{i} {i}" for i in range(500)] + [f"GET key:{i}" for i in range(500)]
        lines += ["SORT list", "LRANGE list 0 -1", "ZRANGE ranks 0 -1 WITHSCORES", "DBSIZE"]
        lines += ["ECHO end-of-dialogue"]
        link.sendall("".join(line + "\r\n" for line in lines).encode())
        replies = b""
        while not replies.endswith(b"end-of-dialogue\r\n"):
            part = link.recv(1 << 16)
            if not part:
                raise Failure("the server hung up")
            replies += part
        return hashlib.sha256(replies).hexdigest()


ALL = [Python, Redis, Sqlite, Compiler, Lua, Jq, Perl, Ghostscript]


def prepare_programs(launcher, smoke, chosen):
    """Returns the programs that this machine has, ready to run, and a line for each that it has not."""
    ready, missing = [], []
    for kind in ALL:
        if not chosen(kind.name):
            continue
        program = kind(launcher, smoke)
        if not program.available():
            missing.append(f"{kind.name}: no {kind.executable}")
            continue
        program.prepare()
        ready.append(program)
    return ready, missing
