"""Runs one unittest module and writes which tests failed: `[--preload] MODULE REPORT`."""

from __future__ import annotations

import json
import signal
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).parent


def _test_id(test: unittest.TestCase) -> str:
    # A subtest is counted as its test: its parameters may hold addresses.
    whole: unittest.TestCase = getattr(test, "test_case", test)
    return whole.id()


def main(module: str, report: str) -> None:
    """Run a module and write what became of it."""
    suite = unittest.defaultTestLoader.loadTestsFromName(module)
    result = unittest.TextTestRunner().run(suite)
    bad = [test for test, _ in [*result.failures, *result.errors]]
    failed = {_test_id(test) for test in [*bad, *result.unexpectedSuccesses]}
    Path(report).write_text(json.dumps({"run": result.testsRun, "failed": sorted(failed)}))


if __name__ == "__main__":
    # A shell lets commands in the background ignore SIGINT. Tests that interrupt themselves would
    # then wait for ever, the mocks of one of them growing to the size of the machine.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    arguments = sys.argv[1:]
    sys.path.remove(str(HERE))  # nothing in here may shadow a module of the tests …
    if arguments[0] == "--preload":
        sys.path.append(str(HERE))  # … but this must be found
        __import__("preload")
        arguments.pop(0)
    main(*arguments)
