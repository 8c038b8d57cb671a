#!/usr/bin/env bash
# Python's own tests of its containers, text, numbers and modules in C: each test's name and how it ended.
# needs: python3
# SPDX-License-Identifier: MIT
set -eu
modules="test_list test_dict test_deque test_heapq test_struct test_array test_generators test_memoryview
  test_ordered_dict"
[ "${QUICK:-}" ] || modules="$modules test_set test_json test_re test_bytes test_gc test_itertools test_functools
  test_zlib test_sort test_long test_decimal test_string"
for python in /usr/bin/python3 /usr/local/bin/python3 /root/.pyenv/versions/*/bin/python3; do
  if [ -x "$python" ] && "$python" -c 'import test.test_list' 2>/dev/null; then
    exec "$python" "$CASES/python_tests.py" $modules
  fi
done
echo "no python3 with its test package"
exit 77
