"""Refusing arguments. Called only when an argument is not plainly right: that is checked in place.

Wrong arguments are refused while nothing is recorded, too: a program that works without a viewer
must not fail with one.
"""

from __future__ import annotations

import operator

from aperf._errors import ConfigurationError

TYPE_CHECKING = False  # typing itself takes milliseconds to import
if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ("check_choice", "check_color", "check_name", "integer", "number", "positive")


def check_name(function: str, name: object) -> None:
    """Refuse what cannot be a name."""
    if not isinstance(name, str):
        raise TypeError(f"{function}: name={name!r} is not accepted; a str is")
    if not name:
        raise ConfigurationError(f"{function}: name='' is not accepted; what is it called?")


def check_choice(function: str, argument: str, value: object, accepted: Collection[str]) -> None:
    """Refuse what is not one of some words."""
    if not isinstance(value, str) or value not in accepted:
        raise ConfigurationError(
            f"{function}: {argument}={value!r} is not accepted; one of {', '.join(accepted)} is"
        )


def check_color(function: str, color: object) -> None:
    """Refuse what is neither a colour nor None."""
    if color is not None and not (isinstance(color, int) and 0 <= color <= 0xFFFFFF):
        raise ConfigurationError(
            f"{function}: color={color!r} is not accepted; a number 0xRRGGBB or None is"
        )


def number(function: str, argument: str, value: object) -> int | float:
    """Return a number of any type (numpy's, Decimal, bool) as int or float."""
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        pass
    try:
        if not isinstance(value, (str, bytes, bytearray)):  # float() would read them
            return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        pass
    raise TypeError(f"{function}: {argument}={value!r} is not accepted; an int or float is")


def integer(function: str, argument: str, value: object, lowest: int, highest: int) -> int:
    """Return a whole number of any type within bounds as an int."""
    try:
        result = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{function}: {argument}={value!r} is not accepted; an int is") from None
    if not lowest <= result <= highest:
        raise ConfigurationError(
            f"{function}: {argument}={value!r} is not accepted; {lowest} to {highest} is"
        )
    return result


def positive(function: str, argument: str, value: object) -> float:
    """Return a number above zero as a float."""
    result = float(number(function, argument, value))
    if not 0 < result < float("inf"):
        raise ConfigurationError(
            f"{function}: {argument}={value!r} is not accepted; a finite number above 0 is"
        )
    return result
