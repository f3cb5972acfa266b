"""Importing this module opens a session that watches every event loop of the process.

A test-suite that imports it first (`pytest -p preload`, `unittest_child.py --preload`) then runs
with aperf's hook on each loop that it creates, and must not notice.
"""

from __future__ import annotations

import atexit
import sys

import aperf

session = aperf.session(enabled=True, exporters=[], loops="all")
session.__enter__()


@atexit.register
def _report() -> None:
    """Tell how much was seen: a run in which the hook saw nothing proves nothing."""
    session.__exit__()
    counters = session.statistics()
    print(
        f"aperf-conformance: implementation={aperf.IMPLEMENTATION} tasks={counters.tasks}"
        f" steps={counters.steps} internal_errors={counters.internal_errors}",
        file=sys.stderr,
        flush=True,
    )
