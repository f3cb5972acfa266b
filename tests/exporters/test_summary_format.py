from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aperf.exporters import _summary_format as write

S = 10**9


@pytest.mark.parametrize(
    ("ns", "expected"),
    [
        (0, "0 s"),
        (1, "1 ns"),
        (999, "999 ns"),
        (1_000, "1.00 µs"),
        (9_994, "9.99 µs"),
        (9_996, "10.0 µs"),
        (99_960, "100 µs"),
        (999_499, "999 µs"),
        (999_500, "1.00 ms"),
        (1_234_567, "1.23 ms"),
        (45_600_000, "45.6 ms"),
        (999_500_000, "1.00 s"),
        (4_500_000_000, "4.50 s"),
        (59_949_999_999, "59.9 s"),
        (59_950_000_000, "1m 00s"),
        (61 * S, "1m 01s"),
        (3599 * S, "59m 59s"),
        (3600 * S, "1h 00m"),
        (86_399 * S, "23h 59m"),
        (86_400 * S, "1d 00h"),
        (90_000 * S, "1d 01h"),
    ],
)
def test_duration(ns: int, expected: str) -> None:
    """Durations have three digits and the unit that fits; no unit overflows by rounding."""
    assert expected == write.duration(ns)


@given(st.integers(0, 9_999 * 86_400 * S))
def test_duration_fits_its_column(ns: int) -> None:
    """No duration up to 27 years is wider than a column."""
    assert len(write.duration(ns)) <= 9


@pytest.mark.parametrize(
    ("number", "expected"),
    [(0, "0"), (1234, "1,234"), (9_999_999, "9,999,999"), (12_345_678, "12.3 M")],
)
def test_count(number: int, expected: str) -> None:
    """Counts are exact as long as that fits."""
    assert expected == write.count(number)


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [
        (0, 0, "0 %"),
        (0, 9, "0 %"),
        (9, 0, "0 %"),
        (1, 10**6, "<0.1 %"),
        (1, 2000, "0.1 %"),
        (1, 3, "33.3 %"),
        (3, 3, "100.0 %"),
        (9, 3, "300.0 %"),
    ],
)
def test_percent(part: int, whole: int, expected: str) -> None:
    """Little is told from nothing; several loops may be busy at once."""
    assert expected == write.percent(part, whole)


@pytest.mark.parametrize(
    ("part", "expected"),
    [(0, ""), (1, "▏"), (250, "█"), (375, "█▌"), (1000, "████"), (2000, "████")],
)
def test_bar(part: int, expected: str) -> None:
    """Bars are drawn to an eighth, something is never nothing, and no bar is too long."""
    assert expected == write.bar(part, 1000, 4)


def test_bar_of_nothing() -> None:
    """A share of nothing is no bar."""
    assert "" == write.bar(1, 0, 4)


@pytest.mark.parametrize(
    ("text", "width", "separator", "expected"),
    [
        ("main", 4, ".", "main"),
        ("Crawler.crawl.fetch", 13, ".", "…crawl.fetch"),
        ("Crawler.crawl.fetch", 9, ".", "…fetch"),
        ("Crawler.crawl_everything", 9, ".", "…erything"),
        ("/opt/app/pkg/main.py:7", 16, "/", "…/pkg/main.py:7"),
        ("main", 1, ".", "…"),
        ("main", 0, ".", ""),
    ],
)
def test_fit_tail(text: str, width: int, separator: str, expected: str) -> None:
    """The end of a name is kept, from a separator on if that wastes less than half the room."""
    assert expected == write.fit_tail(text, width, separator)


@given(st.text(), st.integers(0, 30))
def test_fit(text: str, width: int) -> None:
    """Cut texts are as wide as they may be, whole ones stay as they are."""
    for cut in (write.fit(text, width), write.fit_tail(text, width, ".")):
        assert len(cut) <= width
        assert len(text) > width or cut == text


@given(st.text(st.characters()))
def test_clean(text: str) -> None:
    """Whatever a program calls its tasks: what is shown is printable."""
    assert write.clean(text).isprintable()


@pytest.mark.parametrize(
    ("encoding", "expected"), [("utf-8", True), ("latin-1", False), ("ascii", False)]
)
def test_is_drawable(encoding: str, expected: bool) -> None:
    """Bars are drawn only where the encoding has all it takes."""
    assert expected == write.is_drawable(encoding)
