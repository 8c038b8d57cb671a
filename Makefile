# The names people type; the work is in scripts/ and in the CMake presets.
# SPDX-License-Identifier: MIT
.DEFAULT_GOAL := all
.PHONY: all setup demo test bench bench-gc bench-libgc bench-classic fuzz install deb debug checked asan tsan format \
  clean help

all: setup            ## build the release: build/release/bin/cairn, build/release/lib/libcairn-malloc.so
	@scripts/build release
setup:
	@scripts/setup
demo: all             ## run real programs on Cairn and show what happened in their heap
	@scripts/demo
test: setup           ## every test: release, then what is linked directly under asan and tsan
	@scripts/test
bench: all            ## Cairn beside glibc, mimalloc, jemalloc and tcmalloc
	@python3 bench/run.py --build build/release $(BENCH_FLAGS)
bench-gc: all         ## the collector beside Go, libgc, Java and malloc/free by hand
	@scripts/setup bench-gc
	@cmake build/release >/dev/null && cmake --build build/release --target bench_gc
	@python3 bench/gc.py --build build/release $(BENCH_FLAGS)
bench-classic: all    ## the linear allocator, recording, replaying and mapping, each against its bar
	@python3 bench/classic.py --build build/release $(BENCH_FLAGS)
fuzz: all             ## libFuzzer on what reads files, FUZZ_SECONDS each (needs clang)
	@cmake --build build/release --target fuzzers
	@for name in trace_reader snapshot_reader; do found=build/release/fuzz/$${name}_found; \
	  build/release/fuzz/$$name $$found tests/fuzz/$${name}_corpus -max_len=65536 -rss_limit_mb=2048 \
	    -max_total_time=$(or $(FUZZ_SECONDS),300) -artifact_prefix=$$found/ || exit 1; done
bench-libgc: all      ## programs of the Boehm collector on Cairn and on libgc
	@python3 bench/libgc.py --build build/release $(BENCH_FLAGS)
install: all          ## install under PREFIX (default /usr/local), DESTDIR is respected
	@cmake --install build/release --prefix $(or $(PREFIX),/usr/local)
deb: all              ## a Debian package in build/release
	@cd build/release && cpack -G DEB
debug checked asan tsan: setup
	@scripts/test $@
format:               ## clang-format every source
	@git ls-files -z --cached --others --exclude-standard '*.cpp' '*.hpp' '*.c' '*.h' | \
	  xargs -0 -r clang-format -i
clean:                ## remove build/
	@rm -rf build
help:                 ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /  make \1	/p' Makefile | expand -t 20
	@echo '  make debug, checked, asan, tsan: build and test that preset'
