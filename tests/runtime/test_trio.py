"""Under trio there is no loop of asyncio's: a session sees no tasks, and disturbs nothing."""

from __future__ import annotations

import trio

import aperf
from aperf.exporters import MemoryExporter


def test_a_session_works() -> None:
    """The program's own spans are recorded and delivered, and waiting for it blocks nobody."""
    exporter = MemoryExporter()

    async def main() -> int:
        async with aperf.session(enabled=True, exporters=[exporter]) as session:
            with aperf.span("work"):
                await trio.sleep(0)
            assert await session.flush()
        return session.statistics().tasks

    assert 0 == trio.run(main)
    assert ["work"] == [span.name for span in exporter.spans]


def test_the_one_line_of_clients_does_nothing() -> None:
    """There is no loop that it could watch."""

    async def main() -> aperf.Session:
        return aperf.instrument_loop(enabled=True, exporters=[])

    assert not trio.run(main).is_enabled
