from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aperf
from aperf.exporters import MemoryExporter
from aperf.model import Flag

if TYPE_CHECKING:
    from aperf._recorder import Recorder


async def child() -> None:
    """Live for a moment."""
    await asyncio.sleep(0)


async def client(exporter: MemoryExporter) -> None:
    """Do what an async client does: one line, then its work, without a pause between them."""
    session = aperf.Session(enabled=True, exporters=[exporter])
    session.__enter__()
    await asyncio.create_task(child(), name="kid")
    await session.__aexit__()


def test_a_task_made_before_the_first_pause_is_a_child_of_the_task_that_runs(
    twin: type[Recorder],
) -> None:
    """Watching begins in the middle of a step, which nobody saw begin."""
    exporter = MemoryExporter()
    asyncio.run(client(exporter))
    spans = {span.name: span for span in exporter.spans}
    assert spans["client"].span_id == spans["child"].parent_span_id
    assert spans["client"].flags & Flag.ADOPTED


def test_a_task_made_by_a_callback_has_no_task_for_a_parent(twin: type[Recorder]) -> None:
    """Nothing runs then but the loop itself."""
    exporter = MemoryExporter()

    async def main() -> None:
        async with aperf.session(enabled=True, exporters=[exporter]):
            made = asyncio.get_running_loop().create_future()
            loop = asyncio.get_running_loop()
            loop.call_soon(lambda: made.set_result(loop.create_task(child())))
            await (await made)

    asyncio.run(main())
    (span,) = [span for span in exporter.spans if span.name == "child"]
    assert span.parent_span_id is None
