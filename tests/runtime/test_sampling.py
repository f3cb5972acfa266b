from __future__ import annotations

import pytest

from aperf._config import Settings
from aperf._sampling import sampler


def test_all_traces_pass_without_asking_anybody() -> None:
    """The default needs no OpenTelemetry SDK."""
    assert sampler(Settings(enabled=True)) is None


@pytest.mark.parametrize("name", ["always_off", "parentbased_always_off"])
def test_no_trace_passes(name: str) -> None:
    """Whatever its id."""
    sample = sampler(Settings(enabled=True, sampler=name))
    assert sample is not None
    assert not any(sample(trace_id, "task") for trace_id in (1, 1 << 63, (1 << 128) - 1))


@pytest.mark.parametrize("name", ["traceidratio", "parentbased_traceidratio"])
def test_a_ratio_decides_by_the_lower_half_of_the_id(name: str) -> None:
    """As every other service in the trace decides, so that a trace is kept whole or not at all."""
    sample = sampler(Settings(enabled=True, sampler=name, sampler_arg="0.5"))
    assert sample is not None
    assert [True, False] == [sample((1 << 100) + low, "task") for low in (1, (1 << 64) - 1)]
