"""Filters: the grammar, which directive counts, and the same answer from a slower oracle."""

from __future__ import annotations

import logging
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aperf._config import Filter, FilterPair, Level, Settings
from aperf._errors import ConfigurationError

GET = ("request", {"method": "GET", "status": 200, "cached": False})


def level(text: str, target: str, *spans: tuple[str, dict[str, object]]) -> str:
    """Return the name of the level up to which a filter lets through."""
    return Filter.parse(text).level(target, spans).name.lower()


# -------------------------------------------------------------------------------------- the grammar


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", "info"),
        (" , ,", "info"),
        ("debug", "debug"),
        ("WARN", "warn"),
        ("Warning", "warn"),
        ("4", "debug"),
        ("shop", "shop=trace"),
        ("shop.db=debug", "shop.db=debug"),
        ("shop::db=Debug", "shop.db=debug"),
        ("my-shop=off", "my-shop=off"),
        ("[request]", "[request]=trace"),
        ("[health check]=off", "[health check]=off"),
        ("shop[request]=off", "shop[request]=off"),
        ("[{method}]=off", "[{method}]=off"),
        ("[r{a=1,b}]=info,warn", "[r{a=1,b}]=info, warn"),
        ('[r{path="/a,b]}", c = d }]=info', "[r{path=/a,b]},c=d}]=info"),
        ("info, shop=debug ,lib=off", "info, shop=debug, lib=off"),
    ],
)
def test_grammar(text: str, shown: str) -> None:
    """What can be written is read, in any case and with spaces between."""
    assert f"<Filter {shown}>" == repr(Filter.parse(text))


@pytest.mark.parametrize(
    "directive",
    [
        "shop=loud", "=info", "shop=", "shop==info", "[]", "shop[]=info", "[{}]", "[r", "r]",
        "[r]x", "shop..db=info", ".shop=info", "[r{a=b]", "[r{a b}]", "shop db=info", "[r{=b}]",
        "a=info=b",
    ],
)  # fmt: skip
def test_what_is_no_directive(directive: str) -> None:
    """Anything else is refused by name, with what is accepted, and the rest does not hide it."""
    with pytest.raises(
        ConfigurationError, match=r"^filter: .* is not accepted; use LEVEL"
    ) as caught:
        Filter.parse(f"info,{directive},shop=debug")
    assert repr(directive) in str(caught.value)


def test_all_that_is_wrong_is_told() -> None:
    """One error has a line for each bad directive."""
    with pytest.raises(ConfigurationError) as caught:
        Filter.parse("a=loud,info,[]")
    assert 2 == len(str(caught.value).splitlines())


# ------------------------------------------------------------------------------------ what counts


@pytest.mark.parametrize(
    ("text", "target", "expected"),
    [
        ("", "shop", "info"),
        ("shop=debug", "lib", "info"),
        ("off,shop=debug", "lib", "off"),
        ("info,shop=debug", "shop", "debug"),
        ("info,shop=debug", "shop.db", "debug"),
        ("info,shop=debug", "shopping", "info"),
        ("shop=debug,shop.db=off", "shop.db.pool", "off"),
        ("shop.db=off,shop=debug", "shop.db.pool", "off"),
        ("shop=off,shop=debug", "shop", "debug"),
        ("shop::db=off", "shop.db", "off"),
        ("shop.db=off", "shop::db::pool", "off"),
        ("trace,off", "", "off"),
        ("off,trace,off", "", "off"),
    ],
)
def test_longest_target_counts(text: str, target: str, expected: str) -> None:
    """The longest target counts, by whole parts of a name; of equals, the last."""
    assert expected == level(text, target)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[request]=trace", "trace"),
        ("[response]=trace", "info"),
        ("[request{method=GET}]=trace", "trace"),
        ("[request{method=POST}]=trace", "info"),
        ("[{status=200,cached=false}]=off", "off"),
        ("[{status}]=off", "off"),
        ("[{missing}]=off", "info"),
        ("shop[request]=off", "off"),
        ("lib[request]=off", "info"),
        ("shop=debug,[request]=off", "off"),
        ("[request]=off,[request{method=GET}]=debug", "debug"),
        ("[request]=off,shop[request]=debug", "debug"),
    ],
)
def test_spans(text: str, expected: str) -> None:
    """A directive about a span counts before those about targets, and one with fields before it."""
    assert expected == level(text, "shop.web", GET)


def test_any_open_span_counts() -> None:
    """A record is judged by all spans around it, and without spans by its logger."""
    text = "[request]=debug"
    assert "debug" == level(text, "shop", ("query", {}), GET)
    assert "info" == level(text, "shop")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Level.INFO),
        ("shop=off", Level.OFF),
        ("[request]=off", Level.OFF),
        ("[request{method=GET}]=off", None),
        ("[{method=GET}]=off", None),
        ("[request{a}]=off,[other]=trace", None),
        ("[other{a}]=off", Level.INFO),
        ("lib[request{a}]=off", Level.INFO),
    ],
)
def test_call_site(text: str, expected: Level | None) -> None:
    """A call site is judged once for all, unless it takes the attributes of each span."""
    judge = Filter.parse(text)
    assert [expected] * 2 == [judge.level_of_span("shop.web", "request") for _ in range(2)]


def test_many_targets_are_not_kept() -> None:
    """Somebody who makes a logger for each request does not fill the memory."""
    judge = Filter.parse("debug")
    assert {Level.DEBUG} == {judge.level(f"request-{number}") for number in range(10_000)}
    assert len(judge._levels) <= 4096


def test_most() -> None:
    """It is known what no directive lets through at all."""
    assert [Level.INFO, Level.DEBUG, Level.OFF] == [
        Filter.parse(text).most for text in ("", "info,a=debug,[b]=off", "off")
    ]


def test_equality() -> None:
    """Filters are equal when they consist of the same directives."""
    assert Filter.parse("info, a::b") == Filter.parse("INFO,a.b=trace")
    assert hash(Filter.parse("a")) == hash(Filter.parse("a"))
    assert Filter.parse("a") != Filter.parse("b")
    assert Filter.parse("") != ""


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (logging.CRITICAL, Level.ERROR), (logging.ERROR, Level.ERROR), (35, Level.WARN),
        (logging.INFO, Level.INFO), (logging.DEBUG, Level.DEBUG), (5, Level.TRACE),
    ],
)  # fmt: skip
def test_levels_of_logging(number: int, expected: Level) -> None:
    """Numbers of the standard library fall between the names that filters know."""
    assert expected is Level.of_logging(number)


# --------------------------------------------------------------------------------------- the oracle

PARTS = st.sampled_from(["a", "b", "ab"])
TARGETS = st.lists(PARTS, max_size=3).map(".".join)
SPANS = st.tuples(
    st.sampled_from(["r", "s"]), st.dictionaries(st.sampled_from("xy"), st.integers(0, 1))
)


class Written(NamedTuple):
    """A directive as a user thinks of it."""

    target: str
    span: str
    fields: dict[str, int | None]
    level: Level

    def __str__(self) -> str:
        fields = ",".join(k if v is None else f"{k}={v}" for k, v in self.fields.items())
        span = self.span + (f"{{{fields}}}" if fields else "")
        about = self.target + (f"[{span}]" if span else "")
        return "=".join(filter(None, (about, self.level.name.lower())))

    def score(self, target: str, spans: list[tuple[str, dict[str, int]]]) -> tuple[int, ...]:
        """Return how well it fits, () if it does not."""
        if self.target and not f"{target}.".startswith(f"{self.target}."):
            return ()
        about = bool(self.span or self.fields)
        if about and not any(
            self.span in ("", name)
            and all(key in has and value in (None, has[key]) for key, value in self.fields.items())
            for name, has in spans
        ):
            return ()
        size = len(self.target.split(".")) if self.target else 0
        return about, bool(self.span) + len(self.fields), size


WRITTEN = st.builds(
    Written,
    TARGETS,
    st.sampled_from(["", "r", "s"]),
    st.dictionaries(st.sampled_from("xy"), st.none() | st.integers(0, 1)),
    st.sampled_from(Level),
)


@given(st.lists(WRITTEN, max_size=6), TARGETS, st.lists(SPANS, max_size=3))
def test_oracle(
    directives: list[Written], target: str, spans: list[tuple[str, dict[str, int]]]
) -> None:
    """The level is that of the last of the directives that fit best."""
    expected = Level.INFO
    best: tuple[int, ...] = (-1,)
    for directive in directives:
        score = directive.score(target, spans)
        if score and score >= best:
            expected, best = directive.level, score
    judge = Filter.parse(",".join(map(str, directives)))
    assert [expected] * 2 == [judge.level(target, spans) for _ in range(2)]
    for name, attributes in spans:
        at_site = judge.level_of_span(target, name)
        assert at_site in (None, judge.level(target, [(name, attributes)]))


@given(st.text(alphabet='abc.:[]{}=," info', max_size=20))
def test_any_text(text: str) -> None:
    """Whatever is written, it is a filter or an error that says what is wrong."""
    try:
        judge = Filter.parse(text)
    except ConfigurationError:
        return
    assert judge.level("a.b", [GET]) in Level


# ------------------------------------------------------------------------------------------- noise


@pytest.mark.parametrize(
    ("text", "target", "expected"),
    [
        ("debug", "urllib3.connectionpool", Level.WARN),
        ("debug", "urllib3000", Level.DEBUG),
        ("debug,my_urllib3=debug", "urllib3", Level.WARN),
        ("debug,urllib3=debug", "urllib3.connectionpool", Level.DEBUG),
        ("debug,urllib3.util=debug", "urllib3.util", Level.DEBUG),
        ("debug,urllib3.util=debug", "urllib3.connectionpool", Level.WARN),
        ("debug,[urllib3]=debug", "urllib3", Level.WARN),
        ("off", "grpc", Level.OFF),
        ("error", "asyncio", Level.ERROR),
    ],
)
def test_noise(text: str, target: str, expected: Level) -> None:
    """Libraries are quiet unless a directive has exactly their target; nothing gets louder."""
    assert expected is Filter.parse(text).quietened().level(target)


def test_pair() -> None:
    """A session's filters come from its settings; of its logs, noise is left out."""
    pair = FilterPair(Settings(log_filter="debug", trace_filter="debug"))
    assert [Level.DEBUG, Level.WARN] == [pair.logs.level(name) for name in ("shop", "grpc")]
    assert Level.DEBUG is pair.traces.level("grpc")


def test_pair_is_replaced_as_a_whole() -> None:
    """What is given is replaced, and nothing at all if one of the two is bad."""
    pair = FilterPair(Settings())
    pair.replace(logs="debug")
    logs, traces = pair.logs, pair.traces
    assert (Level.DEBUG, Level.INFO) == (logs.level("shop"), traces.level("shop"))
    with pytest.raises(ConfigurationError):
        pair.replace(logs="trace", traces="shop=loud")
    assert (logs, traces) == (pair.logs, pair.traces)
    pair.replace(logs=Filter.parse("trace"), traces="off")
    assert (Level.TRACE, Level.OFF) == (pair.logs.level("grpc"), pair.traces.level("shop"))
