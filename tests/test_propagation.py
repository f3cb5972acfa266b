"""Headers of traces: what is taken from others, and what is sent to them."""

from __future__ import annotations

import pickle
import time
from typing import Any

import pytest
from grpc.aio import Metadata
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import baggage, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from aperf._propagation import TraceHeaders
from tests.propagated import PARENT, TRACE

HEX = "0123456789abcdef"
OCTETS = "".join(map(chr, range(0x21, 0x7F)))
TOKEN = "".join(c for c in OCTETS if c not in '"(),/:;<=>?@[\\]{}')


def digits(count: int) -> st.SearchStrategy[str]:
    """Return hexadecimal numbers that are not 0."""
    return st.text(HEX, min_size=count, max_size=count).filter(lambda text: text.strip("0"))


def without(unwanted: str, size: int = 12) -> st.SearchStrategy[str]:
    """Return printable ASCII text, the last of it no space."""
    return st.text("".join(c for c in OCTETS if c not in unwanted), min_size=1, max_size=size)


parents = st.builds("00-{}-{}-{}".format, digits(32), digits(16), st.sampled_from(["00", "01"]))
keys = st.from_regex(r"[a-z][_0-9a-z*/-]{0,9}", fullmatch=True)
states = st.dictionaries(keys, without(",="), max_size=32).map(
    lambda members: ",".join(f"{key}={value}" for key, value in members.items())
)
entries = st.builds(
    "{}={}{}".format,
    st.text(TOKEN, min_size=1, max_size=9),
    without('",;\\'),
    st.sampled_from(["", ";secret", ";ttl=60", " ; a = 1 ;b"]),
)
baggages = st.lists(entries, max_size=20).map(",".join)
well_formed = st.builds(TraceHeaders, traceparent=parents, tracestate=states, baggage=baggages)
foreign = st.recursive(
    st.none() | st.integers() | st.text(max_size=60) | st.binary(max_size=60) | parents | states,
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner),
    max_leaves=6,
)
names = st.sampled_from(["traceparent", "TraceState", b"baggage"])


# ---------------------------------------------------------------------------------- what is taken


@settings(deadline=None)
@given(well_formed)
def test_headers_come_back_as_they_were(headers: TraceHeaders) -> None:
    """What is sent and parsed again, or pickled, is the same."""
    assert headers == TraceHeaders.parse(headers.to_headers())
    assert headers == pickle.loads(pickle.dumps(headers))
    assert headers == TraceHeaders(**headers.to_headers())


@settings(deadline=None)
@given(
    foreign
    | st.dictionaries(names | st.text(), foreign, max_size=4)
    | st.lists(st.tuples(names, foreign), max_size=6)
)
def test_nothing_foreign_raises(source: Any) -> None:
    """Whatever comes along, what is made of it is fit to be sent."""
    headers = TraceHeaders.parse(source)
    assert headers == TraceHeaders.parse(headers.to_headers())
    assert all(text.isascii() and text.isprintable() for text in headers.to_headers().values())


@settings(deadline=None)
@given(
    st.builds(
        "{}-{}-{}-{}{}".format,
        st.sampled_from(["00", "01", "cc", "ff", "0", "0g"]),
        digits(32) | st.just("0" * 32) | digits(31) | digits(32).map(str.upper),
        digits(16) | st.just("0" * 16),
        digits(2) | st.just("00"),
        st.sampled_from(["", "-", "-more", "more", " ", "\t", "\n"]),
    )
)
def test_the_same_parents_as_opentelemetry(text: str) -> None:
    """OpenTelemetry and aperf agree about which traceparent is one, and about what it says."""
    context = TraceContextTextMapPropagator().extract({"traceparent": text}, {})  # type: ignore[arg-type]
    theirs = trace.get_current_span(context).get_span_context()
    headers = TraceHeaders.parse({"traceparent": text})
    if text.endswith("\n"):  # theirs goes by lines
        assert not headers
        return
    assert theirs.is_valid == bool(headers)
    if headers:
        assert headers.trace_id == f"{theirs.trace_id:032x}"
        assert headers.is_sampled == bool(theirs.trace_flags & 1)


@settings(deadline=None)
@given(well_formed)
def test_opentelemetry_reads_them(headers: TraceHeaders) -> None:
    """Its own propagators take all of what is sent, and complain about nothing."""
    carrier = headers.to_headers()
    context = TraceContextTextMapPropagator().extract(carrier)
    state = trace.get_current_span(context).get_span_context().trace_state
    assert headers.tracestate == state.to_header()
    context = W3CBaggagePropagator().extract(carrier, context)
    count = len({entry.split("=")[0] for entry in headers.baggage.split(",") if entry})
    assert count >= len(baggage.get_all(context))


@pytest.mark.parametrize(
    "source",
    [
        {"traceparent": PARENT, "tracestate": "a=1,b=2"},
        {"TRACEPARENT": PARENT, "TRACESTATE": "a=1,b=2", "PATH": "/bin"},
        {"Traceparent": [PARENT], "Tracestate": ["a=1", "b=2"]},
        [("traceparent", PARENT), ("tracestate", "a=1"), ("tracestate", "b=2")],
        [(b"traceparent", PARENT.encode()), (b"tracestate", b" a=1 ,, b=2\t")],
        (pair for pair in [("TraceParent", PARENT), ("tracestate", "a=1,b=2"), ("other", 7)]),
        Metadata(("traceparent", PARENT), ("tracestate", "a=1,b=2")),
        {"traceparent": PARENT.replace("00-", "cc-", 1) + "-what", "tracestate": "a=1,b=2,a=3"},
        {"traceparent": PARENT[:-2] + "03", "tracestate": "a=1,B=3,b=2,=v,c=,invalid"},
    ],
    ids=["dict", "environ", "lists", "pairs", "asgi", "any", "grpc", "future", "malformed"],
)
def test_headers_of_all_origins(source: Any) -> None:
    """Where headers come from, and how they are written, makes no difference."""
    assert TraceHeaders(traceparent=PARENT, tracestate="a=1,b=2") == TraceHeaders.parse(source)


@pytest.mark.parametrize("source", [None, 7, "traceparent", b"x", {}, [1], [("traceparent",)]])
def test_no_headers(source: Any) -> None:
    """What holds none gives none."""
    headers = TraceHeaders.parse(source)
    assert (False, {}, None, False) == (
        bool(headers),
        headers.to_headers(),
        headers.trace_id,
        headers.is_sampled,
    )


def test_two_parents_are_none() -> None:
    """Nobody knows which of two is meant; the same one twice is one."""
    other = PARENT.replace("b7ad", "b7ae")
    assert not TraceHeaders.parse([("traceparent", PARENT), ("traceparent", other)])
    assert TraceHeaders.parse([("traceparent", PARENT), ("traceparent", PARENT)])


def test_a_state_needs_a_parent() -> None:
    """A tracestate says something about a trace; baggage does not."""
    headers = TraceHeaders.parse({"tracestate": "a=1", "baggage": "user=7"})
    assert TraceHeaders(baggage="user=7") == headers
    assert headers


def test_limits() -> None:
    """Of what is too much, the first part stays: OpenTelemetry would drop all of it."""
    many = ",".join(f"k{number}=v" for number in range(40))
    long = ",".join(f"key{number}={'v' * 1000}" for number in range(20))
    headers = TraceHeaders.parse({"traceparent": PARENT, "tracestate": many, "baggage": long})
    assert 32 == len(headers.tracestate.split(","))
    assert long.startswith(headers.baggage)
    assert 8 == len(headers.baggage.split(","))


@pytest.mark.parametrize(
    "text",
    [
        "a=" + " " * 4000 + "\0",
        "a=1;b=" + " " * 4000 + "\0",
        "a=1" + " ;a" * 1300 + "\0",
        "," * 10**6,
    ],
    ids=["spaces", "property", "properties", "commas"],
)
def test_hostile_headers_take_no_time(text: str) -> None:
    """Nobody blocks the loop by a header; a pattern that tried all ways took half a second."""
    begin_ns = time.thread_time_ns()
    assert not TraceHeaders.parse({"baggage": text})
    assert TraceHeaders.parse({"traceparent": PARENT, "tracestate": text})
    assert time.thread_time_ns() - begin_ns < 100_000_000


def test_a_member_is_not_cut() -> None:
    """Of a header that is far too long, no half of a member is taken for a whole one."""
    text = "a=1," + " " * 65530 + "b=234567"
    assert "a=1" == TraceHeaders.parse({"baggage": text}).baggage


def test_malformed_baggage() -> None:
    """Entries that are none are left out, the others stay as they are."""
    text = "a=1, b = 2;p=x ;q,c,=d,e=ü,f=%20,g=a b,h=1\r\nx: y"
    assert "a=1,b = 2;p=x ;q,f=%20" == TraceHeaders.parse({"baggage": text}).baggage


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("traceparent", "00-1-2-01"),
        ("traceparent", PARENT[:-2] + "03"),
        ("traceparent", None),
        ("tracestate", "A=1"),
        ("baggage", "a=1\r\nset-cookie: b"),
    ],
)
def test_text_that_is_not_fit(field: str, text: Any) -> None:
    """Who writes headers himself is told what is wrong with them."""
    fields: dict[str, Any] = {"traceparent": PARENT, field: text}
    with pytest.raises(ValueError, match=f"TraceHeaders: {field}=.* is not accepted"):
        TraceHeaders(**fields)


def test_a_state_without_a_parent_is_refused() -> None:
    """Nor may he leave out what the state belongs to."""
    with pytest.raises(ValueError, match="tracestate='a=1' is not accepted without traceparent"):
        TraceHeaders(tracestate="a=1")


def test_headers_are_values() -> None:
    """They can be compared, hashed and not changed; each dictionary of them is another one."""
    headers = TraceHeaders.parse({"traceparent": PARENT})
    assert (TRACE, True) == (headers.trace_id, headers.is_sampled)
    assert 1 == len({headers, TraceHeaders(traceparent=PARENT)})
    headers.to_headers().clear()
    assert {"traceparent": PARENT} == headers.to_headers()
    with pytest.raises(AttributeError):
        headers.traceparent = ""  # type: ignore[misc]
