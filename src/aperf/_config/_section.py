"""A part of the configuration file, read so that nothing in it is passed over in silence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._kinds import TEXT
from ._switch import complaint

if TYPE_CHECKING:
    from ._kinds import Kind

__all__ = ("Section",)


class Section:
    """A mapping in the file.

    What is asked for is taken out of it. What is left in the end is told to the user.

    Args:
        path: where in the file it stands, for messages.
        content: the mapping; anything else counts as an empty one, and is told.
        warnings: takes what is told.
    """

    def __init__(self, path: str, content: object, warnings: list[str]) -> None:
        self._path = path
        self._warnings = warnings
        self._parts: list[Section] = []
        self._content: dict[str, Any] = {}
        if isinstance(content, dict):
            self._content = dict(content)
        elif content is not None:
            self._complain(path, content, "a mapping")

    def __contains__(self, key: str) -> bool:
        return key in self._content

    def take(self, key: str, kind: Kind) -> object:
        """Return a value, None if it is not there or not accepted."""
        value = self._content.pop(key, None)
        if value is None:
            return None
        try:
            # Kinds read texts, in which YAML has seen numbers and truth values already.
            return kind.parse(str(value).lower() if isinstance(value, bool) else str(value))
        except (LookupError, ValueError):
            self._complain(self._at(key), "(secret)" if kind.secret else value, kind.accepts)
            return None

    def text(self, key: str, kind: Kind = TEXT) -> str | None:
        """Return a text, None if it is not there or not accepted."""
        value = self.take(key, kind)
        return None if value is None else str(value)

    def pairs(self, key: str, kind: Kind) -> tuple[tuple[str, str], ...]:
        """Return pairs written as ``key=value,key=value``; none if they are not accepted."""
        value = self.take(key, kind)
        return value if isinstance(value, tuple) else ()

    def section(self, key: str) -> Section:
        """Return a mapping inside this one; a missing one is empty."""
        return self._part(self._at(key), self._content.pop(key, None))

    def sections(self, key: str) -> list[Section]:
        """Return the mappings in a list inside this one."""
        items = self._content.pop(key, None) or []
        if not isinstance(items, list):
            self._complain(self._at(key), items, "a list")
            return []
        return [self._part(f"{self._at(key)}[{n}]", item) for n, item in enumerate(items)]

    def attribute(self, key: str) -> object:
        """Return a value that may be of any type, or several such."""
        value = self._content.pop(key, None)
        if isinstance(value, dict):
            self._complain(self._at(key), value, "a single value or a list")
            return None
        return tuple(value) if isinstance(value, list) else value

    def only(self, *keys: str) -> str | None:
        """Return which of these keys is there: the first one, and nothing is done to the rest."""
        return next((key for key in keys if key in self._content), None)

    def tell_rest(self) -> None:
        """Tell the user what nobody has asked for, here and in the mappings inside."""
        for key in self._content:
            self._warnings.append(f"{self._at(key)} is not understood by aperf; ignored")
        for part in self._parts:
            part.tell_rest()

    def _part(self, path: str, content: object) -> Section:
        part = Section(path, content, self._warnings)
        self._parts.append(part)
        return part

    def _at(self, key: str) -> str:
        return f"{self._path}{'' if self._path.endswith(' ') else '.'}{key}"

    def _complain(self, path: str, value: object, accepted: str) -> None:
        self._warnings.append(f"{complaint(path, value, accepted)}; ignored")
