"""Something of everything that can be said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.tracy_cases import marks, program, resources, rows

if TYPE_CHECKING:
    from tests.tracy_cases.basics import Case

__all__ = ("CASES",)

CASES: Final[tuple[Case, ...]] = (*rows.CASES, *marks.CASES, *resources.CASES, *program.CASES)
