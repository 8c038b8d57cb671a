"""Runs modules of Python's own test suite; prints a line a test, with nothing in it that depends on time.

usage: python_tests.py MODULE...
"""
# SPDX-License-Identifier: MIT
import io
import sys
import unittest
import warnings


class Lines(unittest.TestResult):
    def addSuccess(self, test):
        print("ok", test.id())

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        print("skipped", test.id())

    def addError(self, test, problem):
        super().addError(test, problem)
        print("error", getattr(test, "id", lambda: test)(), problem[0].__name__)

    def addFailure(self, test, problem):
        super().addFailure(test, problem)
        print("failure", test.id(), problem[0].__name__)


def main():
    warnings.simplefilter("ignore")
    result = Lines()
    stderr, sys.stderr = sys.stderr, io.StringIO()
    for name in sys.argv[1:]:
        unittest.defaultTestLoader.loadTestsFromName("test." + name).run(result)
    sys.stderr = stderr
    print(result.testsRun, "tests")


if __name__ == "__main__":
    main()
