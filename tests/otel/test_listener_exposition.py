from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Buckets,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    InMemoryMetricReader,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.sdk.metrics.view import (
    ExplicitBucketHistogramAggregation,
    ExponentialBucketHistogramAggregation,
    View,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from aperf.otel._prometheus import OPENMETRICS, TEXT, Format, exposition
from aperf.otel._prometheus_names import family_name, labels_of, unit_word

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.metrics import Meter

FORMATS = (TEXT, OPENMETRICS)
both_formats = pytest.mark.parametrize("form", FORMATS, ids=["text", "openmetrics"])


def collected(measure: Callable[[Meter], object], *views: View) -> MetricsData:
    """Return what the SDK makes of some measurements."""
    reader = InMemoryMetricReader()
    resource = Resource({"service.name": 'a "name"\n'})
    provider = MeterProvider([reader], resource, shutdown_on_exit=False, views=views)
    measure(provider.get_meter("scope", "1.2"))
    data = reader.get_metrics_data()
    assert data is not None
    return data


def parsed(data: MetricsData, form: Format) -> dict[str, Any]:
    """Return the metric families that Prometheus' own parser reads, by name."""
    parse: Any = parse_openmetrics if form.is_openmetrics else parse_text
    return {family.name: family for family in parse(exposition(data, form))}


def values(family: Any) -> dict[str, float]:
    """Return samples by name and, for buckets, their bound."""
    return {
        sample.name + (f"<{sample.labels['le']}" if "le" in sample.labels else ""): sample.value
        for sample in family.samples
    }


@both_formats
def test_numbers_survive(form: Format) -> None:
    """Counters are counters, everything else gauges; no digit is lost, and units are words."""

    def measure(meter: Meter) -> None:
        meter.create_counter("requests", "{request}").add(3)
        meter.create_counter("bytes.sent.total", "By").add(2**60)
        meter.create_up_down_counter("queue.size", "{item}").add(-2)
        meter.create_gauge("load", "1", "share of\nthe \\ time").set(0.25)
        meter.create_gauge("speed", "By/s").set(1e-9)

    families = parsed(collected(measure), form)
    assert {"requests_total": 3} == values(families["requests"])
    assert {"bytes_sent_bytes_total": 2**60} == values(families["bytes_sent_bytes"])
    assert {"queue_size": -2} == values(families["queue_size"])
    assert {"load_ratio": 0.25} == values(families["load_ratio"])
    assert {"speed_bytes_per_second": 1e-9} == values(families["speed_bytes_per_second"])
    assert ["counter", "gauge", "gauge"] == [
        families[name].type for name in ("requests", "queue_size", "load_ratio")
    ]
    assert "share of\nthe \\ time" == families["load_ratio"].documentation


@both_formats
def test_labels_and_scope_survive(form: Format) -> None:
    """Attribute names are made labels, values are kept as they are, and the scope is told."""
    attributes: dict[str, str | bool] = {"http.route": 'a\\b"c\nd', "1st": True, "http_route": "x"}
    data = collected(lambda meter: meter.create_gauge("g").set(1, attributes))
    (sample,) = parsed(data, form)["g"].samples
    assert {
        "http_route": 'a\\b"c\nd;x',
        "_1st": "true",
        "otel_scope_name": "scope",
        "otel_scope_version": "1.2",
    } == sample.labels


@both_formats
def test_the_process_is_told_once(form: Format) -> None:
    """The resource stands in target_info, and only there."""
    data = collected(lambda meter: meter.create_gauge("g").set(1))
    families = parsed(data, form)
    name = "target" if form.is_openmetrics else "target_info"
    (sample,) = families[name].samples
    assert ("target_info", 'a "name"\n') == (sample.name, sample.labels["service_name"])


@both_formats
def test_explicit_histograms_are_cumulative(form: Format) -> None:
    """Each bucket holds what lies below it too, and the last one everything."""

    def measure(meter: Meter) -> None:
        histogram = meter.create_histogram("h", "s")
        for value in (0.5, 1, 2, 99):
            histogram.record(value)

    view = View(instrument_name="h", aggregation=ExplicitBucketHistogramAggregation((1, 2.5)))
    family = parsed(collected(measure, view), form)["h_seconds"]
    assert {
        "h_seconds_bucket<1.0": 2,
        "h_seconds_bucket<2.5": 3,
        "h_seconds_bucket<+Inf": 4,
        "h_seconds_sum": 102.5,
        "h_seconds_count": 4,
    } == values(family)


@both_formats
def test_exponential_histograms_of_the_sdk_are_translated(form: Format) -> None:
    """Recorded through the SDK's aggregation, every value is at or below its bucket's bound."""
    numbers = [0, *range(1, 1001)]

    def measure(meter: Meter) -> None:
        histogram = meter.create_histogram("h")
        for number in numbers:
            histogram.record(number)

    view = View(instrument_name="h", aggregation=ExponentialBucketHistogramAggregation(20, 20))
    found = values(parsed(collected(measure, view), form)["h"])
    assert len(numbers) == found["h_count"] == found["h_bucket<+Inf"]
    assert sum(numbers) == found["h_sum"]
    for name, count in found.items():
        if "<" in name:
            bound = float(name.partition("<")[2])
            assert count == sum(number <= bound * (1 + 1e-12) for number in numbers)


def exponential(*, scale: int, positive: Buckets, negative: Buckets, zeros: int = 0) -> MetricsData:
    """Return one exponential histogram."""
    count = sum(positive.bucket_counts) + sum(negative.bucket_counts) + zeros
    point = ExponentialHistogramDataPoint(
        attributes={}, start_time_unix_nano=0, time_unix_nano=1, count=count, sum=1.5, scale=scale,
        zero_count=zeros, positive=positive, negative=negative, flags=0, min=0, max=9,
    )  # fmt: skip
    data = ExponentialHistogram([point], AggregationTemporality.CUMULATIVE)
    return data_of(Metric("h", "", "", data))


def data_of(metric: Metric) -> MetricsData:
    """Return a metric as it would be collected."""
    scope = ScopeMetrics(InstrumentationScope("s"), [metric], "")
    return MetricsData([ResourceMetrics(Resource({}), [scope], "")])


NONE = Buckets(0, ())

GOLDEN = {
    "scale 0": (0, Buckets(0, (1, 2)), NONE, 0, {"2.0": 1, "4.0": 3, "+Inf": 3}),
    "offset": (0, Buckets(2, (1,)), NONE, 0, {"8.0": 1, "+Inf": 1}),
    "below one": (0, Buckets(-3, (1, 1)), NONE, 0, {"0.25": 1, "0.5": 2, "+Inf": 2}),
    "finer": (1, Buckets(1, (1,)), NONE, 0, {"2.0": 1, "+Inf": 1}),
    "coarser": (-1, Buckets(0, (1, 1)), NONE, 0, {"4.0": 1, "16.0": 2, "+Inf": 2}),
    "only zeros": (0, NONE, NONE, 5, {"0.0": 5, "+Inf": 5}),
    "zeros too": (0, Buckets(0, (1,)), NONE, 2, {"0.0": 2, "2.0": 3, "+Inf": 3}),
    "empty": (0, NONE, NONE, 0, {"+Inf": 0}),
    "beyond floats": (0, Buckets(1023, (1,)), NONE, 0, {"+Inf": 1}),
    "negative": (
        0, Buckets(0, (4,)), Buckets(1, (1, 2)), 3,
        {"-4.0": 2, "-2.0": 3, "0.0": 6, "2.0": 10, "+Inf": 10},
    ),
}  # fmt: skip


@both_formats
@pytest.mark.parametrize("case", GOLDEN)
def test_exponential_buckets_by_hand(case: str, form: Format) -> None:
    """Bounds are base**(offset + i + 1), zeros have a bucket of their own, negatives come first."""
    scale, positive, negative, zeros, expected = GOLDEN[case]
    data = exponential(scale=scale, positive=positive, negative=negative, zeros=zeros)
    found = values(parsed(data, form)["h"])
    assert expected == {n.partition("<")[2]: v for n, v in found.items() if "<" in n}
    has_sum = not (form.is_openmetrics and case == "negative")
    assert has_sum == ("h_sum" in found)


@both_formats
def test_families_of_one_name_are_one(form: Format, caplog: pytest.LogCaptureFixture) -> None:
    """Two scopes may measure the same; what is of another kind is left out, and told."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    for scope in ("one", "two"):
        provider.get_meter(scope).create_counter("c").add(1)
    provider.get_meter("three").create_gauge("c").set(1)
    data = reader.get_metrics_data()
    assert data is not None
    samples = parsed(data, form)["c"].samples
    assert ["one", "two"] == [sample.labels["otel_scope_name"] for sample in samples]
    assert "metric c is both counter and gauge" in caplog.text


@both_formats
@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_what_is_no_number_is_written_as_such(value: float, form: Format) -> None:
    """Infinities and NaN are part of both formats."""
    point = NumberDataPoint({}, 0, 1, value)  # the SDK's instruments refuse such values
    data = data_of(Metric("g", "", "", Gauge([point])))
    (found,) = values(parsed(data, form)["g"]).values()
    assert found == value or (math.isnan(found) and math.isnan(value))


@pytest.mark.parametrize(
    ("unit", "is_gauge", "word"),
    [
        ("s", False, "seconds"), ("By", True, "bytes"), ("1", True, "ratio"), ("1", False, ""),
        ("{task}", False, ""), ("By/s", True, "bytes_per_second"), ("", True, ""),
        ("{packet}/s", True, "per_second"), ("foo", True, "foo"),
    ],
)  # fmt: skip
def test_units_become_words(unit: str, is_gauge: bool, word: str) -> None:
    """UCUM's units are spelled out; annotations and the unit of counts are left out."""
    assert word == unit_word(unit, is_gauge=is_gauge)


@pytest.mark.parametrize(
    ("name", "unit", "expected"),
    [
        ("asyncio.eventloop.delay", "seconds", "asyncio_eventloop_delay_seconds"),
        ("delay.seconds", "seconds", "delay_seconds"),
        ("1st", "", "_1st"),
        ("a..b--c", "", "a_b_c"),
    ],
)
def test_names_are_made_acceptable(name: str, unit: str, expected: str) -> None:
    """Other characters become an underscore, and the unit comes last, once."""
    assert expected == family_name(name, unit)


def test_labels_that_fall_together_keep_all_values() -> None:
    """Keys that differ in punctuation only share a label, in the order of the keys."""
    assert {"a_b": "1;2"} == labels_of({"a_b": 2, "a.b": 1})
