"""Who takes part in the collector's benchmarks: an executable of the set, how it is started, what it can do.

An implementation runs every program of the set that its memory manager can run: those that force collections
need a collector. What is not built or not installed is named in the report.
SPDX-License-Identifier: MIT
"""
import dataclasses
import shutil
from pathlib import Path

from measure import DEBIAN_PEERS, find_library

TYPED, CONSERVATIVE = "cairn", "cairn-conservative"
JAVA_COLLECTORS = {  # name: what the JVM is told; the flag lets System.gc() run beside the program
    "java-g1": ["-XX:+UseG1GC", "-XX:+ExplicitGCInvokesConcurrent"],
    "java-parallel": ["-XX:+UseParallelGC"],
    "java-z": ["-XX:+UseZGC"],
}


@dataclasses.dataclass(frozen=True)
class Implementation:
    name: str
    command: tuple               # before `impl benchmark key=value ...`
    collects: bool = True
    library: str | None = None   # preloaded, as the launcher wants it
    options: tuple = ()          # (name, value) pairs for the environment

    @property
    def is_cairn(self):
        return self.name.startswith("cairn")


class Search:
    """Collects what is there and a line for what is not."""

    def __init__(self, build, place):
        self.folder, self.place = Path(build, "bench", "gc").resolve(), Path(place)
        self.found, self.missing = [], []

    def executable(self, name, file, **more):
        path = self.folder / file
        if path.exists():
            self.found.append(Implementation(name, (str(path),), **more))
        else:
            self.missing.append(f"{name}: no {path}")

    def cairn(self):
        self.executable(TYPED, "cairn")
        self.executable(CONSERVATIVE, "cairn_conservative")
        self.executable("cairn-linear", "cairn", options=(("CAIRN_LAYOUT", "linear"),))

    def go(self):
        self.executable("go", "go")
        for path in sorted(self.folder.glob("go[0-9]*")):
            self.executable(path.name, path.name)

    def manual(self):
        self.executable("glibc", "manual", collects=False)
        file, package = DEBIAN_PEERS["mimalloc"]
        library = find_library(file)
        if library is None:
            self.missing.append(f"mimalloc: no {file} (Debian: {package})")
        else:
            self.executable("mimalloc", "manual", collects=False, library=library)

    def java(self):
        java, classes = shutil.which("java"), self.folder / "java"
        if java is None or not (classes / "Main.class").exists():
            self.missing.append("java: no java, or no " + str(classes / "Main.class"))
            return
        log = self.place / "safepoints.log"
        for name, flags in JAVA_COLLECTORS.items():
            command = (java, *flags, f"-Xlog:safepoint*:file={log}::filecount=0", f"-Dsafepoints={log}",
                       "-cp", str(classes), "Main")
            self.found.append(Implementation(name, command))


def find_implementations(build, place, wanted):
    """Returns the implementations of this run, Cairn's first, and a line for each that is missing."""
    search = Search(build, place)
    search.cairn()
    search.go()
    search.executable("libgc", "libgc")
    search.manual()
    search.java()
    if not wanted:
        return search.found, search.missing
    known = [one.name for one in search.found] + [line.split(":")[0] for line in search.missing]
    unknown = sorted(set(wanted) - set(known))
    if unknown:
        raise SystemExit(f"gc.py: unknown implementation {', '.join(unknown)}; valid: {', '.join(known)}")
    return ([one for one in search.found if one.name in wanted],
            [line for line in search.missing if line.split(":")[0] in wanted])
