"""What encoding and sending a span costs: by kind of row, and with OpenTelemetry's `encode_spans`.

    python benchmarks/otlp.py [--json PATH]

Prints a table; encoding times are CPU time of the thread, the best of several rounds. Compare
ratios, not the times of two machines.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING

from _sink import otlp_sink
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link as OTelLink
from opentelemetry.trace import SpanContext as OTelContext
from opentelemetry.trace import TraceFlags

from aperf.exporters.otlp import OtlpExporter
from aperf.model import Category, Detail, SessionInfo, SpanBatch, Template, ThreadInfo
from aperf.protocol.otlp import Encoder

if TYPE_CHECKING:
    from collections.abc import Callable

SPANS = 4096
SLICE = 256
SDK = "await, OpenTelemetry's encode_spans"
NOW_NS = 1_790_000_000_000_000_000
RESOURCE = (("service.name", "benchmark"), ("telemetry.sdk.name", "aperf"))


def make_batch(category: Category, *, linked: float = 0.8, detailed: bool = False) -> SpanBatch:
    """Return rows of 50 call sites with random ids; `linked` is the share with a waker."""
    dice = random.Random(1)
    templates = [
        Template(
            category,
            f"await Queue.get{number}",
            (
                ("code.function.name", f"app.workers.Worker.run_{number}"),
                ("code.file.path", "/srv/app/src/app/workers.py"),
                ("code.line.number", 100 + number),
                ("aperf.wait.kind", "queue_get"),
            ),
        )
        for number in range(50)
    ]
    detail = Detail(attributes=(("code.stacktrace", "app.main (/srv/app/main.py:1)\n" * 8),))
    batch = SpanBatch(templates, [ThreadInfo(0, ""), ThreadInfo(1 << 46, "MainThread")])
    batch.texts.append("Task-1")
    batch.details.append(detail)
    for _ in range(SPANS):
        start = NOW_NS + dice.getrandbits(40)
        trace, span, parent, waker = (dice.getrandbits(64) | 1 for _ in range(4))
        waker = waker if dice.random() < linked else 0
        times = start, start + dice.getrandbits(24)
        task = dice.getrandbits(20), dice.getrandbits(24), dice.getrandbits(16)
        last = dice.getrandbits(24), 17, 1, 1, int(detailed), trace, trace, waker
        batch.rows.extend((dice.randrange(50), 1, trace, trace, span, parent, *times, *task, *last))
    return batch


def readable_spans(batch: SpanBatch) -> list[ReadableSpan]:
    """Return the same spans as OpenTelemetry's SDK would hold them."""
    resource, scope = Resource(dict(RESOURCE)), InstrumentationScope("aperf")
    sampled = TraceFlags(TraceFlags.SAMPLED)

    def context(trace_id: int, span_id: int) -> OTelContext:
        return OTelContext(trace_id, span_id, is_remote=False, trace_flags=sampled)

    return [
        ReadableSpan(
            name=span.name,
            context=context(span.trace_id, span.span_id),
            parent=context(span.trace_id, span.parent_span_id or 0),
            resource=resource,
            attributes=span.attributes,
            links=[
                OTelLink(
                    context(link.context.trace_id, link.context.span_id), dict(link.attributes)
                )
                for link in span.links
            ],
            start_time=span.start_ns,
            end_time=span.end_ns,
            instrumentation_scope=scope,
        )
        for span in batch
    ]


def ns_per_span(encode: Callable[[], object], rounds: int) -> float:
    """Return the CPU time of the fastest round."""
    best = 0
    for _ in range(rounds):
        before = time.thread_time_ns()
        encode()
        spent = time.thread_time_ns() - before
        best = min(best or spent, spent)
    return best / SPANS


def sliced(batch: SpanBatch) -> Callable[[], object]:
    """Encode as the exporter does: slice by slice, then one request."""
    encoder = Encoder(RESOURCE)

    def encode() -> bytes:
        starts = range(0, SPANS, SLICE)
        return encoder.request([encoder.encode_spans(batch, i, i + SLICE) for i in starts])

    return encode


def encoding_costs(rounds: int) -> dict[str, float]:
    """Return the CPU time of encoding one span, in ns, by kind of row.

    OpenTelemetry comes first: its many objects leave a heap behind that has grown. Where memory has
    to be fetched from the system again each time, page faults nearly double the cost of an await.
    """
    awaits = make_batch(Category.AWAIT)
    spans = readable_spans(awaits)
    few = max(rounds // 10, 2)
    costs = {SDK: ns_per_span(lambda: encode_spans(spans).SerializeToString(), few)}
    batches = {
        "await": awaits,
        "await, no waker": make_batch(Category.AWAIT, linked=0),
        "await with a stack": make_batch(Category.AWAIT, detailed=True),
        "task": make_batch(Category.TASK),
        "executor job": make_batch(Category.EXECUTOR),
    }
    return costs | {name: ns_per_span(sliced(batch), rounds) for name, batch in batches.items()}


def sending_costs(batches: int) -> dict[str, float]:
    """Return what it costs to bring an await to a receiver in another process, in ns."""
    batch = make_batch(Category.AWAIT)
    spans = batches * SPANS
    costs = {}
    with otlp_sink() as endpoint:
        exporter = OtlpExporter(endpoint, queue_spans=spans)
        exporter.start(SessionInfo(service_name="benchmark"))
        for name in ("with pauses", "without pauses"):
            before_ns, cpu_before_ns = time.monotonic_ns(), time.process_time_ns()
            goal = sum(exporter.statistics()[:2]) + spans  # exported and dropped
            for _ in range(batches):
                exporter.export(batch, 0)
            if name == "without pauses":
                exporter.flush(time.monotonic_ns() + 60 * 10**9)
            while sum(exporter.statistics()[:2]) < goal:
                time.sleep(0.001)
            costs[f"await, sent {name}"] = (time.monotonic_ns() - before_ns) / spans
            costs[f"await, sent {name}, CPU"] = (time.process_time_ns() - cpu_before_ns) / spans
        assert exporter.shutdown(time.monotonic_ns() + 10**9), exporter.statistics()
    return costs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    costs = encoding_costs(options.rounds)
    costs |= sending_costs(min(3 * options.rounds, 150))
    print(f"CPython {platform.python_version()}, {SPANS} spans")
    print(f"{'':38}{'ns/span':>9}{'M spans/s':>11}{'× faster':>10}")
    for name, cost in costs.items():
        print(f"{name:38}{cost:9.0f}{1000 / cost:11.2f}{costs[SDK] / cost:10.1f}")
    if options.json:
        options.json.write_text(json.dumps(costs, indent=2))


if __name__ == "__main__":
    main()
