from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aperf._recorder import Recorder
from tests.events.taking import taking

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def recorder(recorder_class: type[Recorder]) -> Iterator[Recorder]:
    """A recorder in which events are recorded, each twin in turn."""
    with taking(recorder_class) as recorder:
        yield recorder


@pytest.fixture(params=["off", "on"])
def off_and_on(request: pytest.FixtureRequest) -> Iterator[None]:
    """Nobody takes events, or somebody does."""
    if request.param == "off":
        yield
    else:
        with taking(Recorder):
            yield
