#!/usr/bin/env python3
"""Checks the house rules that a machine can check: floors, openings, sizes, memory orders, macros, platforms.

Usage: check_source.py [ROOT]. One line a complaint, `file:line: what`; the exit code is 1 if there is any.
Each rule is a generator of (line, text) over one Source; the list `rules` at the end names them all.
The floors are read from src/FLOORS. What each rule must catch stands in tests/check_source/self_test.py.
"""
# SPDX-License-Identifier: MIT
import ast
import re
import sys
from pathlib import Path

MAX_FILE, MAX_FUNCTION, MAX_LINE = 600, 60, 110
FOLDERS = ("src", "include", "tools", "bench", "examples", "tests", "scripts", "cmake", ".ci")
CODE = (".hpp", ".cpp", ".h", ".c")
DRAWERS = {"util", "utils", "detail", "details", "internal", "misc", "common", "helpers"}
MARK = re.compile(r"\[(fixed|owner|lock|atomic|stopped)\]")


def blank(text):
    """The code with comments, strings and character constants blanked, every line in its place."""
    token = re.compile(r'//[^\n]*|/\*.*?\*/|R"([^(\s]*)\(.*?\)\1"|'
                       r'"(?:\\.|[^"\\\n])*"|'
                       r"(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'", re.S)
    return token.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), text)


class Source:
    def __init__(self, root, path):
        self.root, self.path = root, path
        self.name = path.relative_to(root).as_posix()
        self.text = path.read_text(encoding="utf-8", errors="replace")
        self.lines = self.text.splitlines()
        self.is_code = path.suffix in CODE
        self.top = self.name.split("/")[0]
        self.floor = self.name.split("/")[1] if self.top == "src" else None
        self.code = blank(self.text) if self.is_code else ""
        self.code_lines = self.code.splitlines()

    def includes(self):
        """(line, what, is quoted) of every include."""
        for number, line in enumerate(self.lines, 1):
            if found := re.match(r'\s*#\s*include\s*(["<])([^">]+)', line):
                yield number, found.group(2), found.group(1) == '"'

    def line_of(self, offset):
        return self.code.count("\n", 0, offset) + 1

    def find(self, pattern):
        """(line, match) of a pattern in the code, comments and strings left out."""
        return [(self.line_of(found.start()), found) for found in re.finditer(pattern, self.code)]


class Floors:
    def __init__(self, root):
        file = root / "src/FLOORS"
        text = file.read_text() if file.exists() else ""
        lines = [line.split("#")[0].split() for line in text.splitlines()]
        self.level = {name: height for height, line in enumerate(filter(None, lines)) for name in line}

    def is_below(self, floor, limit):
        return self.level.get(floor, 99) < self.level.get(limit, 99)


# ---- rules over one source

def opening(source, floors):
    """The file opens with its idea; the last line of the opening comment, and no other, is the SPDX line."""
    lines = source.lines[1:] if source.lines[:1] and source.lines[0].startswith("#!") else source.lines
    comment = r"(//|/\*)\s*\S" if source.is_code else r'(#|""")\s*\S'
    if not lines or not re.match(comment, lines[0]) or "SPDX" in lines[0]:
        yield 1, "does not open with a comment that says its idea"
    if sum(line.strip(" /*#") == "SPDX-License-Identifier: MIT" for line in lines[:60]) != 1:
        yield 1, "needs one line `SPDX-License-Identifier: MIT` at the end of its opening comment"
    elif source.is_code and lines[0].startswith("//"):
        end = next((i for i, line in enumerate(lines) if not line.startswith("//")), len(lines))
        if "SPDX-License-Identifier" not in lines[end - 1]:
            yield end, "the SPDX line is not the last of the opening comment"


def sizes(source, floors):
    if len(source.lines) > MAX_FILE:
        yield MAX_FILE + 1, f"{len(source.lines)} lines: over {MAX_FILE} there are two ideas, split by idea"
    for number, line in enumerate(source.lines, 1):
        if len(line) > MAX_LINE:
            yield number, f"line of {len(line)} characters, {MAX_LINE} at most"
    functions = code_functions(source) if source.is_code else python_functions(source)
    for first, last in functions:
        if last - first + 1 > MAX_FUNCTION:
            yield first, f"function of {last - first + 1} lines, {MAX_FUNCTION} at most"


def code_functions(source):
    """(first, last) line of every function body: a brace after a parameter list, outside functions."""
    code = "\n".join("" if line.lstrip().startswith("#") else line for line in source.code_lines)
    scopes, head, line = [], "", 1
    for char in code:
        if char == "{":
            bare = re.sub(r"(alignas|__attribute__|requires|decltype)\s*\((\(.*?\)|[^()])*\)", "", head)
            inside = any(is_function for is_function, _ in scopes)
            scopes.append((not inside and "(" in bare, line))
            head = ""
        elif char == "}":
            if scopes:
                is_function, first = scopes.pop()
                if is_function:
                    yield first, line
            head = ""
        elif char == ";":
            head = ""
        else:
            head += char
        line += char == "\n"


def python_functions(source):
    if source.path.suffix == ".py":
        for node in ast.walk(ast.parse(source.text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield node.lineno, node.end_lineno


def include_floors(source, floors):
    """Includes go down only, are written from src, and stay inside the public headers outside src."""
    if source.top == "src" and source.floor not in floors.level:
        yield 1, f"`{source.floor}` is no floor of src/FLOORS"
    for number, what, is_quoted in source.includes():
        target = what.split("/")[0]
        if source.top == "src":
            if target == "cairn":
                if source.floor != "api":
                    yield number, f"{source.floor} includes {what}: public headers are for api"
            elif target in floors.level:
                mine, other = floors.level.get(source.floor, -1), floors.level[target]
                if other > mine:
                    yield number, f"{source.floor} includes {what}: includes go down only"
                elif other == mine and target != source.floor:
                    yield number, f"{source.floor} includes {what}: they stand side by side and may not"
                elif not (source.root / "src" / what).exists():
                    yield number, f"includes {what}, which is not there"
            elif is_quoted:
                yield number, f'includes "{what}": write it from src, as in "base/check.hpp"'
        elif source.top in ("tools", "bench", "examples", "include"):
            is_neighbour = is_quoted and source.top == "include" and (source.path.parent / what).exists()
            if (target in floors.level and not is_neighbour) or "src/" in what:
                yield number, f"{source.top} includes {what}: only include/cairn is open to it"


def memory_orders(source, floors):
    """Every order is written, and a comment on its statement or on the line before it says why."""
    if source.top not in ("src", "include"):
        return
    names = r"(?:load|store|exchange|fetch_\w+|compare_exchange_\w+|test_and_set)"
    for number, found in source.find(r"(?:\.|->)\s*(" + names + r")\s*\("):
        if "order" not in arguments(source.code, found.end()):
            yield number, f"{found.group(1)}() without a memory order"
    for number in sorted({number for number, _ in source.find(r"\bmemory_order(_|::)\w+")}):
        if not has_reason(source, number - 1):
            yield number, "a memory order without its reason in a comment"


def arguments(code, start):
    depth, at = 1, start
    while at < len(code) and depth:
        depth += (code[at] == "(") - (code[at] == ")")
        at += 1
    return code[start:at]


def has_reason(source, index):
    if "//" in source.lines[index]:
        return True
    for at in range(index - 1, -1, -1):
        if source.lines[at].lstrip().startswith("//"):
            return True
        if re.search(r"[;{}:]\s*$|^\s*$", source.code_lines[at]):
            return False
        if "//" in source.lines[at]:
            return True
    return False


def atomic_marks(source, floors):
    """Every atomic field says who may touch it."""
    if source.top != "src":
        return
    before = r"(?:mutable |static |inline |constinit |alignas\([^)]*\) )*"
    for _, found in source.find(rf"(?m)^[ \t]+{before}std::atomic<[^;(){{}}]*>\s+\w+[^;()]*;"):
        first = source.line_of(found.start() + len(found.group()) - len(found.group().lstrip()))
        last = source.line_of(found.end())
        if not any(MARK.search(line) for line in source.lines[max(first - 2, 0):last]):
            yield first, "a shared field without its mark: [fixed] [owner] [lock] [atomic] or [stopped]"


def macros(source, floors):
    if source.top not in ("src", "tools", "bench", "examples"):
        return
    if re.match(r"src/(base/(check|lock)\.|api/(malloc|new|c\.|cpp\.|libgc))", source.name):
        return
    for number, found in source.find(r"(?m)^\s*#\s*define\s+(\w+)"):
        if not re.fullmatch(r"_[A-Z_]+SOURCE|_FILE_OFFSET_BITS", found.group(1)):
            yield number, f"macro {found.group(1)} outside base/check.hpp, base/lock.hpp and the front ends"


def platforms(source, floors):
    """Tests of the system stay in os/; tests of the processor also in base/."""
    if source.top != "src" or re.match(r"src/(os/|base/config\.|api/malloc)", source.name):
        return
    system = r"__linux__|__APPLE__|_WIN32|_WIN64|__\w*BSD__|__unix__|__GLIBC__"
    processor = r"__x86_64__|__i386__|__aarch64__|__arm__|__riscv"
    for names in (system,) if source.floor == "base" else (system, processor):
        for number, found in source.find(rf"(?m)^\s*#\s*(?:if|ifdef|ifndef|elif)\b.*\b({names})"):
            yield number + found.group().count("\n"), f"platform test {found.group(1)} outside os/"


def no_allocation(source, floors):
    """Below observe/: nothing that allocates, throws, locks in libc, or keeps state a thread."""
    if source.top != "src" or not floors.is_below(source.floor, "observe"):
        return
    banned = {
        r"\bstd::(vector|string|function|mutex|recursive_mutex|shared_mutex|condition_variable|thread"
        r"|map|set|list|deque|unordered_\w+|unique_ptr|shared_ptr|make_unique|make_shared|cout|cerr)\b":
            "may allocate",
        r"(?<![\w.>:])(?:std::|::)?(malloc|calloc|realloc|strdup)\s*\(": "allocates",
        r"(?<!operator )\b(new)\s+[A-Za-z_:]": "allocates",
        r"(?<!operator )\b(delete)\s*(?:\[\]\s*)?[A-Za-z_:]": "frees",
        r"\b(throw|catch|dynamic_cast|typeid)\b": "needs exceptions or RTTI",
        r"\b(pthread_mutex_\w+|pthread_rwlock_\w+|call_once)\b": "is a lock of libc",
    }
    if source.floor != "os":
        banned[r"\b(errno)\b"] = "belongs to the program"
    if not source.name.startswith("src/base/lock."):
        banned[r"\b(thread_local)\b"] = "is the malloc front end's alone"
    for pattern, why in banned.items():
        for number, found in source.find(pattern):
            yield number, f"`{found.group(1)}` below observe/: {why}"
    for number, what, _ in source.includes():
        if what in ("vector", "string", "functional", "mutex", "thread", "iostream", "sstream", "fstream"):
            yield number, f"<{what}> below observe/: may allocate"


def drawers(source, floors):
    for part in (*Path(source.name).parts[:-1], source.path.stem):
        if part in DRAWERS:
            yield 1, f"`{part}` is a drawer, not an idea: name what is in it"


rules = (opening, sizes, include_floors, memory_orders, atomic_marks, macros, platforms,
         no_allocation, drawers)


# ---- the whole tree

def cycles(sources):
    """One complaint for each include that closes a ring."""
    graph = {source.name: [("src/" + what, number) for number, what, _ in source.includes()]
             for source in sources if source.top == "src"}
    done, path = set(), []

    def visit(name):
        path.append(name)
        for target, number in graph[name]:
            if target in path:
                ring = path[path.index(target):] + [target]
                yield name, number, "includes go in a ring: " + " > ".join(ring)
            elif target in graph and target not in done:
                yield from visit(target)
        done.add(path.pop())

    for name in graph:
        if name not in done:
            yield from visit(name)


def files(root):
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            is_script = path.parent.name in ("scripts", ".ci") or path.suffix in (".py", ".cmake")
            if path.is_file() and "__pycache__" not in path.parts and (path.suffix in CODE or is_script):
                yield path


def check(root):
    """The number of files under `root` and all complaints about them, as lines."""
    floors = Floors(root)
    sources = [Source(root, path) for path in files(root)]
    complaints = list(cycles(sources))
    for source in sources:
        complaints += [(source.name, *found) for rule in rules for found in rule(source, floors)]
    return len(sources), [f"{name}:{number}: {text}" for name, number, text in sorted(complaints)]


def main():
    count, complaints = check(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parents[1]))
    print("\n".join([*complaints, f"{count} files, {len(complaints)} complaints"]))
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
