#!/usr/bin/env python3
"""An installed Cairn serves a foreign project: by find_package, shared and static, and by pkg-config.

Usage: run.py BUILD_DIR SOURCE_DIR. Installs into a folder of its own, which it removes.
"""
# SPDX-License-Identifier: MIT
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CMAKELISTS = """
cmake_minimum_required(VERSION 3.16)
project(foreign LANGUAGES C CXX)
set(CMAKE_CXX_STANDARD 20)
find_package(cairn REQUIRED)
add_executable(hello {examples}/hello.cpp)
target_link_libraries(hello PRIVATE cairn::cairn)
add_executable(hello_static {examples}/hello.cpp)
target_link_libraries(hello_static PRIVATE cairn::cairn-static)
add_executable(lisp {examples}/lisp.c)
target_link_libraries(lisp PRIVATE cairn::cairn)
"""

# Temporaries: on the stack if the pass was there, or a hundred thousand heap objects.
TEMPORARIES = """
#include <cairn/cairn.hpp>
#include <cstdio>
struct Pair { double x, y; };
volatile long rounds = 100000;
int main() {
    double sum = 0;
    for (long i = 0; i < rounds; ++i) {
        const Pair* p = cairn::make<Pair>(double(i), 2.);
        sum += p->x + p->y;
    }
    cairn_stats_t stats{};
    stats.size = sizeof stats;
    cairn_stats(&stats);
    std::printf("%s %g\\n", stats.allocated_objects < 1000 ? "stack" : "heap", sum);
}
"""


def run(*command, **more):
    done = subprocess.run(command, capture_output=True, text=True, **more)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def by_cmake(folder, prefix, examples):
    project = folder / "project"
    project.mkdir()
    (project / "CMakeLists.txt").write_text(CMAKELISTS.format(examples=examples))
    run("cmake", "-S", project, "-B", project / "build", f"-DCMAKE_PREFIX_PATH={prefix}")
    run("cmake", "--build", project / "build")
    for program in ("hello", "hello_static"):
        assert "line 3\n" in run(project / "build" / program), program
    run(project / "build/lisp")
    assert "libcairn.so" not in run("ldd", project / "build/hello_static")


def by_clang(folder, prefix, examples):
    """cairn_enable_escape_analysis, ..._checks: the plugin for this clang, a notice for another compiler."""
    text = CMAKELISTS.format(examples=examples) + "add_executable(temporaries temporaries.cpp)\n"
    text += "target_link_libraries(temporaries PRIVATE cairn::cairn)\n"
    text += "cairn_enable_escape_analysis(hello hello_static temporaries)\ncairn_enable_checks(hello)\n"
    project = folder / "escaping"
    project.mkdir()
    (project / "temporaries.cpp").write_text(TEMPORARIES)
    (project / "CMakeLists.txt").write_text(text)
    configure = ("cmake", "-S", project, f"-DCMAKE_PREFIX_PATH={prefix}", "-DCMAKE_BUILD_TYPE=Release")
    gcc = ("-B", project / "gcc", "-DCMAKE_CXX_COMPILER=g++")
    done = subprocess.run([*configure, *gcc], capture_output=True, text=True, check=True)
    assert "escape analysis needs clang, this is GNU" in done.stderr, done.stderr
    assert "the checks need clang, this is GNU" in done.stderr, done.stderr
    run("cmake", "--build", project / "gcc", "--target", "temporaries")
    assert run(project / "gcc/temporaries").startswith("heap ")
    checks = {plugin.stem.split("-")[-1]: plugin for plugin in prefix.rglob("libcairn-frontend-*.so")}
    for plugin in prefix.rglob("libcairn-escape-*.so"):
        clang = f"clang++-{plugin.stem.split('-')[-1]}"
        if shutil.which(clang):
            run(*configure, "-B", project / clang, f"-DCMAKE_CXX_COMPILER={clang}")
            said = run("cmake", "--build", project / clang, "--verbose")
            assert f"-fpass-plugin={plugin}" in said, said
            frontend = checks.get(clang.split("-")[-1])
            assert frontend is None or f"-fplugin={frontend}" in said, said
            assert "line 3\n" in run(project / clang / "hello"), clang
            assert run(project / clang / "temporaries").startswith("stack "), clang


def by_pkg_config(folder, prefix, examples):
    pc = next(prefix.rglob("cairn.pc"))
    environment = {**os.environ, "PKG_CONFIG_PATH": str(pc.parent)}
    flags = run("pkg-config", "--cflags", "--libs", "cairn", env=environment).split()
    run("g++", "-std=c++20", examples / "hello.cpp", *flags, "-o", folder / "hello")
    environment = {**os.environ, "LD_LIBRARY_PATH": str(pc.parents[1])}
    assert "line 3\n" in run(folder / "hello", env=environment)


def main():
    build, source = (Path(argument).resolve() for argument in sys.argv[1:3])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run("cmake", "--install", build, "--prefix", folder / "first")
        shutil.move(folder / "first", folder / "moved")
        by_cmake(folder, folder / "moved", source / "examples")
        by_clang(folder, folder / "moved", source / "examples")
        if shutil.which("pkg-config"):
            by_pkg_config(folder, folder / "moved", source / "examples")
    print("installed, moved, found, linked, run")


if __name__ == "__main__":
    main()
