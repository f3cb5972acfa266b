from __future__ import annotations

import threading
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from aperf import ConfigurationError
from aperf._events import track_allocations
from aperf._events._allocations import _MAX_PLOTS
from aperf._recorder._layout import PlotFlag
from tests.events.taking import plots
from tests.watched import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from aperf._recorder import Recorder

TOTALS = {"Python memory", "Python memory, peak"}


def wait_for_plots(
    recorder: Recorder, enough: Callable[[dict[str, int]], object]
) -> dict[str, int]:
    """Return the latest value of each plot once they are enough; all of them are of memory."""
    latest: dict[str, int] = {}

    def look() -> object:
        for name, record in plots(recorder):
            assert PlotFlag.MEMORY == record.flags
            latest[name] = record.a
        return enough(latest)

    until(look, "plots")
    return latest


def test_totals(recorder: Recorder) -> None:
    """Memory now and at most since the last time are plotted; tracemalloc is off again after."""
    with track_allocations(0.001):
        kept = bytes(10_000_000)
        latest = wait_for_plots(recorder, lambda latest: latest.get("Python memory", 0) >= 10**7)
    assert TOTALS == set(latest)
    assert latest["Python memory, peak"] >= len(kept)
    assert not tracemalloc.is_tracing()


def ours(latest: dict[str, int]) -> list[str]:
    """Return the plots of places here that hold a lot."""
    return [name for name, value in latest.items() if __file__[-60:] in name and value >= 10**7]


def test_places(recorder: Recorder) -> None:
    """The places that hold most are plotted, and go to zero when they hold nothing."""
    with track_allocations(0.001, top=1):
        kept: object = bytes(10_000_000)
        latest = wait_for_plots(recorder, lambda latest: ours(latest))
        [place] = ours(latest)
        assert place.startswith("Python memory of ")
        assert place.rpartition(":")[2].isdigit()
        kept = None
        wait_for_plots(recorder, lambda latest: latest.get(place) == 0)
    assert kept is None


def test_few_plots(recorder: Recorder) -> None:
    """There are never more plots than a viewer should remember."""
    tracker = track_allocations(0.001, top=_MAX_PLOTS)
    tracker._places = {(f"{number}.py", 1): f"{number}.py:1" for number in range(_MAX_PLOTS)}
    with tracker:
        latest = wait_for_plots(recorder, lambda latest: len(latest) > _MAX_PLOTS)
    assert TOTALS == {name for name in latest if "of" not in name}
    assert 2 + _MAX_PLOTS == len(latest)


def test_tracemalloc_of_the_program(recorder: Recorder) -> None:
    """A program that has tracemalloc on keeps it, and its peak."""
    tracemalloc.start()
    try:
        passing: object = bytes(20_000_000)
        passing = None
        with track_allocations(0.001):
            wait_for_plots(recorder, lambda latest: TOTALS <= set(latest))
        assert tracemalloc.is_tracing()
        assert tracemalloc.get_traced_memory()[1] >= 20_000_000
    finally:
        tracemalloc.stop()
    assert passing is None


def test_two_trackers(recorder: Recorder) -> None:
    """Trackers may end in any order; the last one switches tracemalloc off."""
    one, two = track_allocations(0.001), track_allocations(0.001)
    one.start()
    one.start()
    two.start()
    one.stop()
    one.stop()
    assert tracemalloc.is_tracing()
    wait_for_plots(recorder, lambda latest: TOTALS <= set(latest))
    two.stop()
    assert not tracemalloc.is_tracing()


def test_off() -> None:
    """While nobody takes plots, nothing is switched on."""
    with track_allocations(0.001):
        assert not tracemalloc.is_tracing()
        assert not [each for each in threading.enumerate() if each.name == "aperf-allocations"]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"interval_s": 0}, ConfigurationError, "interval_s=0 .* a finite number above 0"),
        ({"interval_s": "1"}, TypeError, "interval_s='1'"),
        ({"top": -1}, ConfigurationError, "top=-1 .* 0 to 64"),
        ({"top": 1.5}, TypeError, "top=1.5"),
    ],
)
def test_wrong_arguments(options: Any, error: type[Exception], words: str) -> None:
    """Wrong arguments are refused."""
    with pytest.raises(error, match=f"track_allocations: {words}"):
        track_allocations(**options)
