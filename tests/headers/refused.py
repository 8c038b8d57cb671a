#!/usr/bin/env python3
"""What the public headers refuse to compile, each with its message; and that all compilers take the rest.

Usage: refused.py SOURCE_DIR. Compiles with g++ and the first clang++ there is, without linking.
"""
# SPDX-License-Identifier: MIT
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HEAD = '#include "cairn/cairn.hpp"\n#include "cairn/containers.hpp"\nusing namespace cairn;\n'
FLAGS = ["-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
NO_RUNTIME = ["-fno-rtti", "-fno-exceptions"]

# name: (code, words of the message)
REFUSED = {
    "a raw pointer listed": (
        "struct N { N* next; static constexpr auto cairn_pointers = pointers(&N::next); }; N* n = make<N>();",
        "a listed member is no cairn::Ptr"),
    "a number listed": (
        "struct N { long x; static constexpr auto cairn_pointers = pointers(&N::x); }; N* n = make<N>();",
        "a listed member is no cairn::Ptr"),
    "a class without its own line listed": (
        "struct M { Ptr<M> p; };"
        "struct N { M m; static constexpr auto cairn_pointers = pointers(&N::m); }; N* n = make<N>();",
        "a listed member is no cairn::Ptr"),
    "a member of another class listed": (
        "struct M { Ptr<M> p; }; struct N { Ptr<M> q;"
        " static constexpr auto cairn_pointers = pointers<N>(&N::q, &M::p); }; N* n = make<N>();",
        "a listed member is of another class"),
    "a base that is none": (
        "struct M { Ptr<M> p; static constexpr auto cairn_pointers = pointers(&M::p); };"
        "struct N { static constexpr auto cairn_pointers = pointers<N>(base<M>); }; N* n = make<N>();",
        "of a class that is no base"),
    "a base without a line": (
        "struct M { Ptr<M> p; };"
        "struct N : M { static constexpr auto cairn_pointers = pointers<N>(base<M>); }; N* n = make<N>();",
        "this base needs a line `cairn_pointers` of its own"),
    "a packed member": (
        "#pragma pack(1)\nstruct N { char c; Ptr<N> p;"
        " static constexpr auto cairn_pointers = pointers(&N::p); };\n#pragma pack()\nN* n = make<N>();",
        "a_listed_member_is_not_aligned_to_8_bytes"),
    "a Ptr to a function": ("Ptr<void()> p;", "a Ptr points to an object"),
    "a Ptr that loses const": ("void f(Ptr<const int> p) { Ptr<int> q = p; }", "Ptr"),
    "a Ptr from a base": ("struct B {}; struct D : B {}; void f(B* b) { Ptr<D> q = b; }", "Ptr"),
    "make of an array": ("auto* p = make<int[3]>();", "see make_array"),
    "a cleanup that wants the object": (
        "void f(int* p) { on_unreachable(p, [](int*) {}); }", "a cleanup is called without arguments"),
    "a copied AtomicPtr": ("AtomicPtr<int> a; AtomicPtr<int> b = a;", "AtomicPtr"),
}

TAKEN = {
    "a Ptr of a type to come": (
        "struct Later; struct N { Ptr<Later> p; AtomicPtr<Later> a; Root<Later> r; Weak<Later> w;"
        " Ptr<N> self;"
        " static constexpr auto cairn_pointers = pointers(&N::p, &N::a, &N::self); };"
        "void f(N& n, Later* l) { n.p = l; n.a = l; n.r = l; n.p = n.r; n.p = nullptr; }"),
    "everything that has a name": (
        "struct N { Ptr<N> p; static constexpr auto cairn_pointers = pointers(&N::p); ~N() {} };"
        "void f() { N* n = make<N>(); (void)make_array<N>(3); n->p = make_heap<N>();"
        " on_unreachable(n, [] {});"
        " set_finalizer(n, [](N*) {}); clear_finalizer(n); explicit_free(n);"
        " Weak<N> w = n; EphemeronMap<N, N> e;"
        " e.set(n, n); e.remove(e.get(n)); collect(); (void)stats(); Blocking b; Attach a; keep_alive(n);"
        " (void)memory_resource()->allocate(8); finalizers(Finalizers::drained); run_finalizers(); }"),
}


def compilers():
    names = ["g++", "clang++", *(f"clang++-{version}" for version in range(14, 23))]
    found = [name for name in names if shutil.which(name)]
    return found[:2]


def compile_case(source_dir, folder, index, compiler, code, flags):
    source = Path(folder) / f"case{index}.cpp"
    source.write_text(HEAD + code + "\n")
    done = subprocess.run([compiler, *FLAGS, *flags, f"-I{source_dir}/include", source],
                          capture_output=True, text=True)
    return done.returncode, done.stderr


def main():
    source_dir, failures, jobs = sys.argv[1], [], []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        for compiler in compilers():
            for name, (code, message) in REFUSED.items():
                jobs.append((name, compiler, message, code, []))
            for name, code in TAKEN.items():
                jobs.append((name, compiler, None, code, []))
                jobs.append((name, compiler, None, code, NO_RUNTIME))
        results = [pool.submit(compile_case, source_dir, folder, i, job[1], job[3], job[4])
                   for i, job in enumerate(jobs)]
        for (name, compiler, message, _, flags), result in zip(jobs, results):
            code, text = result.result()
            if message is None and code != 0:
                failures.append(f"{compiler} {flags} refuses {name}:\n{text}")
            if message is not None and (code == 0 or message not in text):
                failures.append(f"{compiler} should refuse {name} with `{message}`:\n{text}")
    failures.append(f"{len(jobs)} compilations by {', '.join(compilers())}, {len(failures)} wrong")
    print("\n".join(failures))
    return 1 if len(failures) > 1 else 0


if __name__ == "__main__":
    sys.exit(main())
