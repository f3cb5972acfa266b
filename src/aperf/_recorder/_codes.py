"""What a code object is: the program's own, a library's, or a wrapper around what is meant."""

from __future__ import annotations

import sysconfig
from pathlib import Path
from types import CodeType, CoroutineType
from typing import Any, Final

__all__ = ("OWN", "USER", "WRAPPER", "classify", "look_through")

#: Bits of `classify`: the program's own code; a coroutine that only runs another one; aperf's code.
USER: Final = 1
WRAPPER: Final = 2
OWN: Final = 4

_PACKAGE: Final = str(Path(__file__).parent.parent)


def _library_prefixes() -> tuple[str, ...]:
    """Return the directories whose code is not the program's own."""
    paths = sysconfig.get_paths()
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    found = {paths[name] for name in names if name in paths} | {_PACKAGE}
    return tuple(sorted(path.rstrip("/\\") + ("\\" if "\\" in path else "/") for path in found))


_LIBRARIES: Final = _library_prefixes()
_OWN: Final = (_PACKAGE + "/", _PACKAGE + "\\")
_INSTALLED: Final = ("/site-packages/", "\\site-packages\\", "/dist-packages/")

#: Coroutines that only run the one they were given: (qualified name, end of the file's name).
_WRAPPERS: Final = frozenset(
    {
        ("TaskHandle._run_coro", "_tasks.py"),  # anyio 4.16
        ("TaskGroup._run_wrapped_task", "_asyncio.py"),  # anyio 4.0 to 4.15
        # opentelemetry-instrumentation-asyncio
        ("AsyncioInstrumentor.trace_coroutine", "__init__.py"),
        ("_wrapped_create_task.<locals>.traced_coro", "patch.py"),  # ddtrace
        ("run.<locals>.wrapper", "__init__.py"),  # uvloop.run
        ("_coroutine.<locals>.wrapper", "_decorator.py"),  # aperf.instrument
    }
)


def classify(code: CodeType) -> int:
    """Say whether code is the program's own (not the library's, not installed), a wrapper, ours."""
    filename = code.co_filename
    bits = 0
    if (
        not filename.startswith(("<frozen", *_LIBRARIES))
        and not any(part in filename for part in _INSTALLED)
    ):  # fmt: skip
        bits |= USER
    if (code.co_qualname, filename.replace("\\", "/").rpartition("/")[2]) in _WRAPPERS:
        bits |= WRAPPER
    if filename.startswith(_OWN):
        bits |= OWN
    return bits


def look_through(coroutine: Any) -> CodeType | None:
    """Return the code of the coroutine that a wrapper, not started yet, is going to run."""
    frame = getattr(coroutine, "cr_frame", None)
    if frame is None:
        return None
    for value in frame.f_locals.values():
        inner = value if type(value) is CoroutineType else getattr(value, "_coro", None)
        if type(inner) is CoroutineType:
            return inner.cr_code
    # A decorator's coroutine has not called the function yet.
    code = getattr(frame.f_locals.get("function"), "__code__", None)
    return code if isinstance(code, CodeType) else None
