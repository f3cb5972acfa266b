from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.spans.watching import TWINS, recording

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aperf._recorder import Recorder


@pytest.fixture(params=TWINS)
def recorder(request: pytest.FixtureRequest) -> Iterator[Recorder]:
    """A recorder in which user spans are recorded, each twin in turn."""
    with recording(request.param) as recorder:
        yield recorder
