"""The variables that are aperf's own, for `opentelemetry-instrument`: it makes options of some.

Those that are OpenTelemetry's stand in its own list, and an option must not be there twice.
"""

from __future__ import annotations

from ._variables import VARIABLES

__all__ = tuple(
    variable.name
    for variable in VARIABLES
    if not variable.is_opentelemetry and not variable.name.startswith("RUST_")
)

globals().update({name: name for name in __all__})
