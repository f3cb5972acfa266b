"""Applications with an OpenTelemetry of their own, and a receiver that others wrote."""

from __future__ import annotations

import json

import pytest

from tests.programs import run_program
from tests.receivers import TestAgent, ddapm

__all__ = ("ddapm",)  # a fixture: pytest finds it by its name in this module

PROGRAM = """
import asyncio, json, sys
import aperf
from aperf.exporters.opentelemetry import OpenTelemetryExporter

async def checkout():
    with aperf.span("order"):
        await asyncio.sleep(0.002)

async def main():
    async with aperf.session(enabled=True, exporters=[OpenTelemetryExporter()]) as session:
        before = "opentelemetry.sdk" in sys.modules
        await asyncio.create_task(checkout())
        trace, provider = set_up()
        with trace.get_tracer("shop", "1.0").start_as_current_span("own"):
            await asyncio.create_task(checkout())
        delivered = await session.flush()
    statistics = session.statistics()
    print(json.dumps({
        "before": before,
        "delivered": delivered,
        "dropped": statistics.dropped_spans,
        "exported": statistics.exported_spans,
        "kept": trace.get_tracer_provider() is provider,
    }))

def set_up():
    from opentelemetry import trace
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    provider = TracerProvider(resource=Resource({"service.name": "own-opentelemetry"}))
    provider.add_span_processor(BatchSpanProcessor(exporter()))
    trace.set_tracer_provider(provider)
    return trace, provider
"""

CONSOLE = """
def exporter():
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter
    return ConsoleSpanExporter(out=sys.stderr, formatter=lambda span: span.name + chr(10))
asyncio.run(main())
"""

OTLP = """
def exporter():
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    return OTLPSpanExporter(endpoint=sys.argv[1], insecure=True)
asyncio.run(main())
"""


def test_an_application_that_sets_its_provider_late() -> None:
    """It is not locked out, its SDK is imported by itself alone, and nothing is lost or doubled."""
    stdout, stderr, code = run_program(PROGRAM + CONSOLE)
    assert 0 == code, stderr
    result = json.loads(stdout)
    assert (False, True, 0, True) == tuple(
        result[key] for key in ("before", "delivered", "dropped", "kept")
    )
    names = stderr.split()
    assert (2, 2, 1) == (names.count("checkout"), names.count("order"), names.count("own"))


@pytest.mark.slow
@pytest.mark.timeout(400)  # making the receiver's environment takes a minute on a fresh machine
def test_through_the_sdk_s_own_otlp_exporter(ddapm: TestAgent) -> None:
    """aperf's spans arrive with the application's resource, under aperf's scope, beside its own."""
    ddapm.clear()
    stdout, stderr, code = run_program(PROGRAM + OTLP, args=[ddapm.endpoint])
    assert 0 == code, stderr
    spans = ddapm.spans_of("own-opentelemetry")
    assert json.loads(stdout)["exported"] == sum(span.scope == "aperf" for span in spans)
    own = [span for span in spans if span.scope == "shop"]
    assert ["own"] == [span.name for span in own]
    orders = [span for span in spans if span.name == "order"]
    tasks = {span.span_id: span.name for span in spans}
    assert ["checkout", "checkout"] == [tasks[span.parent_span_id] for span in orders]
    waits = [span for span in spans if span.name == "await sleep"]
    assert ["sleep", "sleep"] == [span.attributes["aperf.wait.kind"] for span in waits]
    assert {span.span_id for span in orders} == {span.parent_span_id for span in waits}
    ddapm.clear()
