"""What is measured on what: allocators, the launcher, and the figures it brings back.

An allocator is a library to preload. A figure belongs to a section ("micro", "wall", ...), a case and an
allocator; `Figures` keeps every sample, and only reports reduce them to medians.
SPDX-License-Identifier: MIT
"""
import dataclasses
import math
import os
import re
import shutil
import statistics
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
LIBRARY_FOLDERS = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib",
                   "/usr/local/lib"]
DEBIAN_PEERS = {  # name: (file, Debian package)
    "mimalloc": ("libmimalloc.so.2", "libmimalloc2.0"),
    "jemalloc": ("libjemalloc.so.2", "libjemalloc2"),
    "tcmalloc": ("libtcmalloc_minimal.so.4", "libtcmalloc-minimal4"),
}
SECONDS_ALLOWED = 180


@dataclasses.dataclass(frozen=True)
class Allocator:
    name: str
    library: str | None  # None: what the program has by itself


class Failure(Exception):
    """One run went wrong: the program died, or its output is not what it was elsewhere."""


def find_library(name):
    for folder in LIBRARY_FOLDERS:
        path = Path(folder, name)
        if path.exists():
            return str(path)
    return None


def find_allocators(build, extra_peers, wanted):
    """Returns the allocators of this run, and a line for each that is missing."""
    found, missing = [], []
    cairn = Path(build, "lib", "libcairn-malloc.so")
    if cairn.exists():
        found.append(Allocator("cairn", str(cairn.resolve())))
    else:
        missing.append(f"cairn: no {cairn}")
    found.append(Allocator("glibc", None))
    for name, (file, package) in DEBIAN_PEERS.items():
        library = find_library(file)
        if library:
            found.append(Allocator(name, library))
        else:
            missing.append(f"{name}: no {file} (Debian: {package})")
    for extra in extra_peers:
        name, _, path = extra.partition("=")
        if not name or not Path(path).is_file():
            raise SystemExit(f"run.py: --peer wants name=/path/lib.so, and '{path}' is no file")
        peer = Allocator(name, str(Path(path).resolve()))
        missing = [m for m in missing if not m.startswith(f"{name}:")]
        if any(a.name == name for a in found):
            found = [peer if a.name == name else a for a in found]
        else:
            found.insert(0 if name == "cairn" else len(found), peer)
    if wanted:
        unknown = set(wanted) - {a.name for a in found} - {m.split(":")[0] for m in missing}
        if unknown:
            raise SystemExit(f"run.py: unknown allocator {', '.join(sorted(unknown))}; "
                             f"valid: {', '.join(a.name for a in found)}")
        found = [a for a in found if a.name in wanted]
        missing = [m for m in missing if m.split(":")[0] in wanted]
    return found, missing


def linked_allocator(program):
    """Names the malloc library a program links by itself, and the path of its libc."""
    listing = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    own = re.search(r"(jemalloc|tcmalloc|mimalloc)\S*\.so", listing)
    libc = re.search(r"libc\.so\.6 => (\S+)", listing)
    return own and own.group(1), libc and libc.group(1)


@dataclasses.dataclass
class Cost:
    wall_s: float
    cpu_s: float
    peak_mib: float


class Launcher:
    """Runs programs through programs/launch.c, built here, in a place of its own with a bare environment."""

    def __init__(self, place):
        self.place = Path(place)
        self.path = self.compile("launch")
        self.empty = self.compile("empty")
        self.bare = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": str(self.place),
                     "PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1",
                     "PERL_HASH_SEED": "0"}
        for name, value in os.environ.items():  # options of an allocator under test pass through
            if name.startswith(("CAIRN_", "MIMALLOC_", "MALLOC_", "TCMALLOC_", "GLIBC_TUNABLES")):
                self.bare[name] = value

    def compile(self, name):
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if compiler is None:
            raise SystemExit("run.py: needs a C compiler (cc, gcc or clang)")
        path, source = self.place / name, HERE / "programs" / f"{name}.c"
        subprocess.run([compiler, "-O2", "-fno-builtin", "-o", path, source], check=True)
        return str(path)

    def command(self, allocator, arguments, repeat=1, stdin="/dev/null", stdout="/dev/null", preload=None):
        library = preload or allocator.library
        return [self.path, "-r", str(repeat), *(["-p", library] if library else []), "-i", str(stdin),
                "-o", str(stdout), "-e", str(self.place / "stderr"), "-t", str(SECONDS_ALLOWED), "--",
                *map(str, arguments)]

    def prove(self, allocator):
        """Stops the run when the library cannot be preloaded: ld.so only grumbles and goes on without it."""
        try:
            self.run(allocator, [self.empty])
        except Failure as wrong:
            raise SystemExit(f"run.py: an empty program on {allocator.name} {wrong}") from None
        grumble = (self.place / "stderr").read_text(errors="replace")
        if "cannot be preloaded" in grumble:
            raise SystemExit(f"run.py: {allocator.library} is no library that can be preloaded")

    def last_words(self):
        words = (self.place / "stderr").read_text(errors="replace").strip().splitlines()
        return f": {words[-1]}" if words else ""

    def costs(self, report):
        """Reads what the launcher printed, one line a run."""
        costs = []
        for line in report.splitlines():
            wall, user, system, peak, status = map(int, line.split())
            if status != 0:
                raise Failure(describe(status) + self.last_words())
            costs.append(Cost(wall / 1e9, (user + system) / 1e6, peak / 1024))
        if not costs:
            raise Failure("did not start")
        return costs

    def run(self, allocator, arguments, options=None, **more):
        command = self.command(allocator, arguments, **more)
        done = subprocess.run(command, env={**self.bare, **(options or {})}, cwd=self.place,
                              capture_output=True, text=True, check=False)
        return self.costs(done.stdout)


def describe(status):
    if os.WIFSIGNALED(status):
        return f"ended by signal {os.WTERMSIG(status)}"
    return f"exit code {os.WEXITSTATUS(status)}"


class Figures:
    """Every sample of the run: section -> case -> allocator -> list."""

    def __init__(self):
        self.samples = {}
        self.failures = []

    def add(self, section, case, allocator, value):
        self.samples.setdefault(section, {}).setdefault(case, {}).setdefault(allocator, []).append(value)

    def fail(self, case, allocator, why):
        line = f"{case} on {allocator}: {why}"
        if line not in self.failures:
            self.failures.append(line)

    def cases(self, section):
        return list(self.samples.get(section, {}))

    def median(self, section, case, allocator):
        values = self.samples.get(section, {}).get(case, {}).get(allocator)
        return statistics.median(values) if values else None

    def common_cases(self, section, allocators):
        return [case for case in self.cases(section)
                if all(self.median(section, case, a) is not None for a in allocators)]

    def geomean(self, section, allocator, allocators):
        """Geometric mean of the medians over the cases that all `allocators` have finished."""
        values = [self.median(section, case, allocator) for case in self.common_cases(section, allocators)]
        if not values or min(values) <= 0:
            return None
        return math.exp(sum(map(math.log, values)) / len(values))
