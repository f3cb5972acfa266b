"""A server of others under `aperf run`."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.command_line import run_aperf, write

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
    import asyncio, contextlib, signal
    from starlette.applications import Starlette

    async def stop_soon():
        await asyncio.sleep(0.01)
        signal.raise_signal(signal.SIGTERM)

    @contextlib.asynccontextmanager
    async def lifespan(app):
        stopping = asyncio.create_task(stop_soon())
        yield
        await stopping

    app = Starlette(lifespan=lifespan)
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_uvicorn(tmp_path: Path, loop: str) -> None:
    """uvicorn's loop is watched, and its way to handle signals and to exit stays."""
    write(tmp_path / "shop.py", PROGRAM)
    words = ("-m", "uvicorn", "shop:app", "--port", "0", "--log-level", "error", "--loop", loop)
    code, stdout, stderr = run_aperf("run", *words, cwd=tmp_path)
    assert (-signal.SIGTERM, "") == (code, stdout)
    assert {"Server.serve", "LifespanOn.main", "stop_soon"} <= set(stderr.split())
