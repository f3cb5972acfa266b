"""Filters and limits of a session."""

from __future__ import annotations

import logging

import pytest

import aperf
from aperf._config import LimitSettings, Settings
from aperf.exporters import MemoryExporter
from tests.chunks import Chunks
from tests.records import decode_ring


def names(exporter: MemoryExporter) -> dict[str, str]:
    """Return the names of spans with those of their parents, "" for roots."""
    by_id = {span.context.span_id: span.name for span in exporter.spans}
    parents = {span.name: span.parent_span_id for span in exporter.spans}
    return {name: by_id[parent] if parent else "" for name, parent in parents.items()}


def nest() -> None:
    """Open three spans, one in the other."""
    with aperf.span("outer"), aperf.span("middle"), aperf.span("inner"):
        pass


@pytest.mark.parametrize(
    ("trace_filter", "expected"),
    [
        ("info", {"outer": "", "middle": "outer", "inner": "middle"}),
        ("info,[middle]=off", {"outer": "", "inner": "outer"}),
        ("info,[outer]=off", {"middle": "", "inner": "middle"}),
        ("info,[middle]=off,[inner]=off", {"outer": ""}),
        ("info,tests=warn", {}),
        ("info,elsewhere=off", {"outer": "", "middle": "outer", "inner": "middle"}),
    ],
)
def test_spans_left_out(trace_filter: str, expected: dict[str, str]) -> None:
    """What is in a span that is left out belongs to the nearest one around it that is not."""
    exporter = MemoryExporter()
    settings = Settings(enabled=True, trace_filter=trace_filter)
    with aperf.session(settings=settings, exporters=[exporter]):
        nest()
    assert expected == names(exporter)


def test_filter_is_replaced_while_the_session_is_open() -> None:
    """What begins after the change follows the new filter; a bad one changes nothing."""
    exporter = MemoryExporter()
    with aperf.session(enabled=True, exporters=[exporter]) as session:
        with pytest.raises(aperf.ConfigurationError):
            session.set_filter(traces="[middle]=quiet")
        session.set_filter(traces="[middle]=off")
        nest()
    assert {"outer": "", "inner": "outer"} == names(exporter)


def test_log_records_left_out() -> None:
    """Profilers are shown the log records that the filter lets through."""
    chunks = Chunks()
    settings = Settings(enabled=True, log_filter="warn,shop=info,shop.noise=off")
    with aperf.session(settings=settings, exporters=[chunks]) as session:
        for name in ("shop", "shop.noise", "other"):
            logger = logging.getLogger(name)
            logger.setLevel(logging.DEBUG)
            for level in (logging.DEBUG, logging.INFO, logging.WARNING):
                logger.log(level, "%d", level)
        session.set_filter(logs="off")
        logging.getLogger("shop").error("too late")
    data = b"".join(chunk.data for chunk in chunks.chunks)
    texts = [record.text for record in decode_ring(data) if record.kind.name == "MESSAGE"]
    assert ["shop: 20", "shop: 30", "other: 30"] == texts


def test_limits_of_spans() -> None:
    """Attributes, events and texts beyond the limits are left out, or cut."""
    exporter = MemoryExporter()
    limits = LimitSettings(attributes=2, attribute_length=3, events=1, event_attributes=1)
    with (
        aperf.session(settings=Settings(enabled=True, limits=limits), exporters=[exporter]),
        aperf.span("work", a="abcdef", b=2, c=3) as span,
    ):
        span.add_event("first", {"x": "uvwxyz", "y": 2})
        span.add_event("second", {})
    (found,) = exporter.spans
    attributes = {key: found.attributes[key] for key in "abc" if key in found.attributes}
    assert {"a": "abc", "b": 2} == attributes
    assert [("first", (("x", "uvw"),))] == [(each.name, each.attributes) for each in found.events]
