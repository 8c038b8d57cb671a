#!/usr/bin/env python3
"""Every rule of tools/check_source.py catches what it must and no more: a table of small trees."""
# SPDX-License-Identifier: MIT
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
import check_source  # noqa: E402

FLOORS = "# lowest first\nbase\nos\npages\nheap textbook\ngc\nobserve\napi\n"
SPDX = "// SPDX-License-Identifier: MIT\n"
FIELD = "class A {\n    std::atomic<int> a_{0};  // %s\n};\n"
TOP = "// Says what this file is for.\n" + SPDX + "\n"
LONG_BODY = "void f() {\n" + "    g();\n" * 59 + "}\n"

# name: (files, what must be said; None when nothing may be)
cases = {
    "good file": ({"src/os/a.cpp": TOP + '#include "base/b.hpp"\nint f() { return 1; }\n',
                   "src/base/b.hpp": TOP + "#pragma once\n"}, None),
    "opening: licence first": ({"src/base/a.cpp": SPDX + "// Idea.\n"}, "does not open"),
    "opening: none": ({"src/base/a.cpp": "#include <cstddef>\n"}, "does not open"),
    "opening: no licence": ({"src/base/a.cpp": "// Idea.\n"}, "needs one line `SPDX"),
    "opening: licence not last": ({"src/base/a.cpp": "// Idea.\n" + SPDX + "// More.\n"}, "not the last"),
    "opening: python": ({"tools/a.py": "import os\n"}, "does not open"),
    "opening: script": ({"scripts/a": "#!/bin/sh\n# Idea.\n# SPDX-License-Identifier: MIT\n"}, None),
    "file too long": ({"src/base/a.cpp": TOP + "int a;\n" * 600}, "603 lines"),
    "line too long": ({"src/base/a.cpp": TOP + "// " + "x" * 108 + "\n"}, "line of 111 characters"),
    "line: letters, not bytes": ({"src/base/a.cpp": TOP + "// " + "×" * 107 + "\n"}, None),
    "function too long": ({"src/base/a.cpp": TOP + LONG_BODY}, "function of 61 lines"),
    "function too long: in a class template": (
        {"src/base/a.cpp": TOP + "template <class T>\nclass A {\n" + LONG_BODY + "};\n"}, "function of 61"),
    "function: a long class is none": (
        {"src/base/a.cpp": TOP + "class alignas(64) A {\n" + "    void f() { g(); }\n" * 70 + "};\n"}, None),
    "function: a long table is none": (
        {"src/base/a.cpp": TOP + "constexpr int table[] = {\n" + "    1,\n" * 70 + "};\n"}, None),
    "function too long: python": ({"tools/a.py": '"""Idea."""\n# SPDX-License-Identifier: MIT\n'
                                   "def f():\n" + "    g()\n" * 60}, "function of 61 lines"),
    "include upward": ({"src/base/a.hpp": TOP + '#include "os/b.hpp"\n', "src/os/b.hpp": TOP},
                       "base includes os/b.hpp: includes go down only"),
    "include sideways": ({"src/heap/a.hpp": TOP + '#include "textbook/b.hpp"\n', "src/textbook/b.hpp": TOP},
                         "side by side"),
    "include of nothing": ({"src/os/a.hpp": TOP + '#include "base/b.hpp"\n'}, "not there"),
    "include not from src": ({"src/os/a.hpp": TOP + '#include "b.hpp"\n', "src/os/b.hpp": TOP}, "from src"),
    "include ring": ({"src/os/a.hpp": TOP + '#include "os/b.hpp"\n',
                      "src/os/b.hpp": TOP + '#include "os/a.hpp"\n'}, "ring"),
    "include: tool into src": ({"tools/cli/a.cpp": TOP + '#include "heap/b.hpp"\n', "src/heap/b.hpp": TOP},
                               "only include/cairn"),
    "include: tool, public header": (
        {"tools/cli/a.cpp": TOP + '#include "cairn/t.h"\n', "include/cairn/t.h": TOP}, None),
    "include: public header below api": ({"src/heap/a.cpp": TOP + '#include "cairn/t.h"\n'}, "for api"),
    "floor: unknown": ({"src/cellar/a.cpp": TOP}, "no floor"),
    "order: defaulted load": ({"src/os/a.cpp": TOP + "int f() { return a.load(); }\n"}, "load() without"),
    "order: defaulted store": ({"src/os/a.cpp": TOP + "void f() { a.store(g(1),\n 2); }\n"}, "store()"),
    "order: no reason": (
        {"src/os/a.cpp": TOP + "void f() {\n    a.load(std::memory_order_relaxed);\n}\n"}, "its reason"),
    "order: reason beside": (
        {"src/os/a.cpp": TOP + "void f() {\n    a.load(std::memory_order_relaxed);  // hint\n}\n"}, None),
    "order: reason above a long statement": (
        {"src/os/a.cpp": TOP + "bool f() {\n    // acquire: pairs with unlock()\n"
         "    return a.compare_exchange_weak(b,\n        1, std::memory_order_acquire,\n"
         "        std::memory_order_relaxed);\n}\n"}, None),
    "order: the reason of the statement before": (
        {"src/os/a.cpp": TOP + "void f() {\n    a.load(std::memory_order_relaxed);  // relaxed: a hint\n"
         "    a.load(std::memory_order_relaxed);\n}\n"}, "a.cpp:6: a memory order without"),
    "order: a path is loaded by name": ({"tools/a.cpp": TOP + "void f() { file.load(path); }\n"}, None),
    "mark missing": ({"src/os/a.hpp": TOP + FIELD % "counts"}, "mark"),
    "mark present": ({"src/os/a.hpp": TOP + FIELD % "[atomic] counts"}, None),
    "macro": ({"src/os/a.hpp": TOP + "#define TWICE(x) ((x) * 2)\n"}, "macro TWICE"),
    "macro: in its place": ({"src/base/check.hpp": TOP + "#define CAIRN_CHECK(x) (x)\n"}, None),
    "macro: feature test": ({"src/os/a.cpp": TOP + "#define _GNU_SOURCE\n"}, None),
    "platform test": ({"src/heap/a.cpp": TOP + "#ifdef __linux__\n#endif\n"}, "platform test __linux__"),
    "platform test: in os": ({"src/os/a.cpp": TOP + "#ifdef __linux__\n#endif\n"}, None),
    "processor test: in base": ({"src/base/a.cpp": TOP + "#if defined(__x86_64__)\n#endif\n"}, None),
    "processor test: in heap": ({"src/heap/a.cpp": TOP + "#if defined(__x86_64__)\n#endif\n"}, "outside os/"),
    "allocates: vector": ({"src/heap/a.cpp": TOP + "std::vector<int> a;\n"}, "`vector` below observe/"),
    "allocates: new": ({"src/heap/a.cpp": TOP + "int* a = new int;\n"}, "`new` below"),
    "allocates: placement new is not": ({"src/heap/a.cpp": TOP + "A* a = new (p) A;\n"}, None),
    "allocates: malloc": ({"src/heap/a.cpp": TOP + "void* a = std::malloc(1);\n"}, "`malloc` below"),
    "allocates: deleted functions": ({"src/heap/a.hpp": TOP + "struct A { A(const A&) = delete; };\n"}, None),
    "allocates: in a comment": ({"src/heap/a.cpp": TOP + "// new std::vector, throw\n"}, None),
    "allocates: in a string": ({"src/heap/a.cpp": TOP + 'const char* a = "throw new std::string";\n'}, None),
    "allocates: observe may": ({"src/observe/a.cpp": TOP + "std::vector<int> a;\n"}, None),
    "throws": ({"src/gc/a.cpp": TOP + "void f() { throw 1; }\n"}, "`throw` below"),
    "thread_local": ({"src/gc/a.cpp": TOP + "thread_local int a;\n"}, "`thread_local` below"),
    "errno": ({"src/pages/a.cpp": TOP + "int f() { return errno; }\n"}, "`errno` below"),
    "drawer: folder": ({"src/os/util/a.cpp": TOP}, "`util` is a drawer"),
    "drawer: file": ({"src/os/common.hpp": TOP}, "`common` is a drawer"),
}


def run(files):
    with tempfile.TemporaryDirectory() as folder:
        for name, text in {"src/FLOORS": FLOORS, **files}.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return "\n".join(check_source.check(Path(folder))[1])


def main():
    failed = 0
    for name, (files, wanted) in cases.items():
        said = run(files)
        if said if wanted is None else wanted not in said:
            failed += 1
            print(f"FAILED {name}: wanted {wanted!r}, got\n{said}")
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
