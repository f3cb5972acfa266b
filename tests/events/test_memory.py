from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from aperf import ConfigurationError
from aperf._events import memory_pool
from aperf._recorder import Kind
from aperf._recorder._layout import MemoryOp
from aperf._recorder._names import MAX_NAMES
from tests.records import decode, of_kind

if TYPE_CHECKING:
    from aperf._recorder import Recorder


def test_alloc_and_free(recorder: Recorder) -> None:
    """Memory has its pool, address and size, and the place where the program said so."""
    pool = memory_pool("arena")
    pool.alloc(2**64 - 1, 2**48 - 1)
    pool.free(2**64 - 1)
    allocated, freed = of_kind(decode(recorder), Kind.MEMORY)
    expected = (MemoryOp.ALLOCATE, "arena", 2**64 - 1, 2**48 - 1)
    text = recorder.cold.names.text
    assert expected == (allocated.flags, text(allocated.ref), allocated.a, allocated.b)
    assert (MemoryOp.FREE, "arena", 2**64 - 1) == (freed.flags, text(freed.ref), freed.a)
    site = recorder.resolve(allocated.pair[0])
    assert site is not None
    ((code, _),) = site[2]
    assert "test_alloc_and_free" == code.co_name


def test_made_before(recorder_class: type[Recorder], recorder: Recorder) -> None:
    """Pools of one name are the same pool."""
    memory_pool("arena").alloc(0, 0)
    memory_pool("arena").free(0)
    assert 1 == len({record.ref for record in of_kind(decode(recorder), Kind.MEMORY)})
    assert "<MemoryPool 'arena'>" == repr(memory_pool("arena"))


def test_too_many_names(recorder: Recorder) -> None:
    """A pool whose name has no room is not taken for another one."""
    for number in range(MAX_NAMES):
        recorder.cold.names.intern(str(number))
    pool = memory_pool("late")
    pool.alloc(1, 1)
    pool.free(1)
    assert [] == decode(recorder)


@pytest.mark.usefixtures("off_and_on")
@pytest.mark.parametrize(
    ("method", "arguments", "error", "words"),
    [
        ("alloc", ("1", 1), TypeError, "alloc: address='1' is not accepted; an int is"),
        ("alloc", (1.5, 1), TypeError, "address=1.5"),
        ("alloc", (-1, 1), ConfigurationError, "address=-1 .* 0 to 18446744073709551615 is"),
        ("alloc", (1, -1), ConfigurationError, "size=-1"),
        ("alloc", (1, 2**48), ConfigurationError, "size=281474976710656"),
        ("free", (2**64,), ConfigurationError, "free: address=18446744073709551616"),
        ("free", (None,), TypeError, "free: address=None"),
    ],
)
def test_wrong_arguments(method: str, arguments: Any, error: type[Exception], words: str) -> None:
    """Wrong arguments are refused, whether anybody takes memory or not."""
    pool = memory_pool("arena")
    with pytest.raises(error, match=words):
        getattr(pool, method)(*arguments)


def test_wrong_pools() -> None:
    """A pool has a name."""
    with pytest.raises(TypeError, match="memory_pool: name=1"):
        memory_pool(1)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="memory_pool: name=''"):
        memory_pool("")
