"""The loop keeps the compact layout for which the interpreter is fast."""

from __future__ import annotations

import sys

import pytest

from tests.isolated import run_isolated

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 13), reason="has_inline_values, which tells, came with Python 3.13"
)

PROGRAM = """
import asyncio, sys
from _testinternalcapi import has_inline_values
import aperf

async def main():
    loop = asyncio.get_running_loop()
    async with aperf.session(enabled=True, exporters=[]):
        await asyncio.to_thread(int)
        watched = has_inline_values(loop)
    return watched, has_inline_values(loop)

print(*asyncio.run(main()))
"""


@pytest.mark.parametrize("pure_python", ["0", "1"])
def test_watching_leaves_the_loop_s_attributes_in_line(pure_python: str) -> None:
    """While it is watched and afterwards: neither the hook nor the exporter's loop uses it up."""
    pytest.importorskip(
        "_testinternalcapi", reason="this Python was built without its test modules"
    )
    assert "True True\n" == run_isolated(PROGRAM, APERF_PURE_PYTHON=pure_python)
