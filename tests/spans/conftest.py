from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.spans.watching import recording

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aperf._recorder import Recorder


@pytest.fixture
def recorder(recorder_class: type[Recorder]) -> Iterator[Recorder]:
    """A recorder in which user spans are recorded, each twin in turn."""
    with recording(recorder_class) as recorder:
        yield recorder
