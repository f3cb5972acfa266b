"""`opentelemetry-instrumentation-logging` beside aperf's: each marks records in its own way."""

from __future__ import annotations

import pytest

from tests.isolated import run_isolated

PROGRAM = """
    import asyncio, logging, sys
    import aperf, aperf.logging
    from opentelemetry import trace
    from opentelemetry.instrumentation.logging import LoggingInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import format_span_id, format_trace_id

    trace.set_tracer_provider(TracerProvider())
    log, records = logging.getLogger("shop"), []

    class Handler(logging.Handler):
        def emit(self, record):
            records.append(record)

    async def work():
        log.warning("in a task")
        return format_span_id(trace.get_current_span().get_span_context().span_id)

    async def main():
        async with aperf.session(enabled=True, exporters=[aperf.exporters.MemoryExporter()]):
            with trace.get_tracer("shop").start_as_current_span("request") as span:
                log.warning("in the request")
                context = span.get_span_context()
                ids = [format_span_id(context.span_id), await asyncio.create_task(work())]
        return format_trace_id(context.trace_id), ids

    theirs = LoggingInstrumentor()
    if sys.argv[1] == "theirs":
        theirs.instrument(inject_trace_context=True)
    ours = aperf.logging.install(stream=sys.stdout)
    if sys.argv[1] == "ours":
        theirs.instrument(inject_trace_context=True)
    log.addHandler(Handler())
    trace_id, span_ids = asyncio.run(main())
    assert len(set(span_ids)) == 2
    assert [(r.trace_id, r.otelTraceID, r.otelSpanID) for r in records] == [
        (trace_id, trace_id, span_id) for span_id in span_ids
    ]
    theirs.uninstrument()
    ours.uninstall()
"""


@pytest.mark.parametrize("first", ["theirs", "ours"])
def test_both(first: str) -> None:
    """The same trace is on each record twice, and each record is shown once."""
    printed = run_isolated(PROGRAM, first)
    assert 1 == printed.count("in the request") == printed.count("in a task")
