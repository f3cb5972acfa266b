"""What the numbers in records mean: templates of spans, entries of statistics, threads.

Numbers are resolved once, when a record first uses them; afterwards a dictionary answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aperf._recorder._layout import Hint
from aperf.model import Attributes, Category, Template, ThreadInfo

from ._places import Place, code_attributes, place_of, stacktrace
from ._totals import CoroutineEntry, SiteEntry
from ._waits import classify_wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ("Tables",)

_NOWHERE: Final = Place("", "", 0)


class Tables:
    """Names for one session.

    Args:
        resolve: gives a site by its number, None for unknown ones.
        name: gives a name by its number.

    Attributes:
        templates: grows only; rows refer to it by index.
        threads: likewise; index 0 is unused, ring n is index n + 1.
    """

    def __init__(self, resolve: Callable[[int], Any], name: Callable[[int], str]) -> None:
        self._resolve = resolve
        self.name = name
        self.templates: list[Template] = []
        self.threads: list[ThreadInfo] = [ThreadInfo(0, "")]
        self._waits: dict[int, tuple[int, SiteEntry]] = {}
        self._sites: dict[tuple[str, str, Place], SiteEntry] = {}
        self._coroutines: dict[tuple[bool, int], CoroutineEntry] = {}
        self._coroutines_by_place: dict[tuple[str, Place], CoroutineEntry] = {}
        self._others: dict[tuple[Category, int, int], int] = {}

    def _template(self, template: Template) -> int:
        self.templates.append(template)
        return len(self.templates) - 1

    # ------------------------------------------------------------------------------------ awaits

    def wait(self, site: int) -> tuple[int, SiteEntry]:
        """Return template and statistics of the waits at a site.

        The same place has a template with the await chain, for long waits, and one without; both
        count in the same statistics.
        """
        known = self._waits.get(site)
        if known is None:
            known = self._waits[site] = self._new_wait(site)
        return known

    def _new_wait(self, site: int) -> tuple[int, SiteEntry]:
        resolved = self._resolve(site) or (0, None, ())
        wait = classify_wait(resolved)
        attributes: Attributes = (("aperf.wait.kind", wait.kind), *_code(wait.place))
        if resolved[0] & Hint.FULL:
            attributes += (("code.stacktrace", stacktrace(resolved[2])),)
        template = self._template(Template(Category.AWAIT, wait.name, attributes, wait.kind))
        key = (wait.name, wait.kind, wait.place or _NOWHERE)
        entry = self._sites.get(key)
        if entry is None:
            entry = self._sites[key] = SiteEntry(wait.name, wait.kind, key[2])
        return template, entry

    def sites(self) -> list[SiteEntry]:
        """Return the statistics of all places that awaited."""
        return list(self._sites.values())

    # -------------------------------------------------------------------------------- coroutines

    def coroutine(self, ref: int, uncoded: bool) -> CoroutineEntry:
        """Return template and statistics of the tasks that run a coroutine.

        Args:
            ref: number of the site of its code, or of a name.
            uncoded: whether it is a name.
        """
        known = self._coroutines.get((uncoded, ref))
        if known is None:
            name, place = self._function(ref, uncoded)
            known = self._coroutines_by_place.get((name, place or _NOWHERE))
            if known is None:
                template = self._template(Template(Category.TASK, name, _code(place)))
                known = CoroutineEntry(template, name, place or _NOWHERE)
                self._coroutines_by_place[name, known.place] = known
            self._coroutines[uncoded, ref] = known
        return known

    def copy(self, entry: CoroutineEntry, other: Tables) -> CoroutineEntry:
        """Return the entry of this session for a coroutine function that another one knows."""
        known = self._coroutines_by_place.get((entry.name, entry.place))
        if known is None:
            template = self._template(other.templates[entry.template])
            known = CoroutineEntry(template, entry.name, entry.place)
            self._coroutines_by_place[entry.name, entry.place] = known
        return known

    def coroutines(self) -> list[CoroutineEntry]:
        """Return the statistics of all coroutine functions that ran as tasks."""
        return list(self._coroutines_by_place.values())

    def _function(self, ref: int, uncoded: bool) -> tuple[str, Place | None]:
        if uncoded:
            return self.name(ref), None
        site = self._resolve(ref)
        if site is None or not site[2]:
            return "(unknown)", None
        place = place_of(*site[2][0])
        return place.function, place

    # ------------------------------------------------------------------------------------- others

    def user(self, name: int, site: int) -> int:
        """Return the template of a user span by the numbers of its name and of its site."""
        return self._other(Category.USER, name, site)

    def job(self, ref: int, uncoded: bool) -> int:
        """Return the template of the jobs that run a function."""
        return self._other(Category.EXECUTOR, ref, int(uncoded))

    def call(self, site: int) -> int:
        """Return the template of the calls of a coroutine function."""
        return self._other(Category.CALL, site, 0)

    def _other(self, category: Category, ref: int, extra: int) -> int:
        known = self._others.get((category, ref, extra))
        if known is None:
            if category is Category.USER:
                name, place = self.name(ref), self.place(extra)
            else:
                name, place = self._function(ref, bool(extra))
                name = f"await {name}" if category is Category.CALL else name
            known = self._template(Template(category, name, _code(place)))
            self._others[category, ref, extra] = known
        return known

    def place(self, site: int) -> Place | None:
        """Return the innermost place of a site."""
        resolved = self._resolve(site)
        return None if resolved is None or not resolved[2] else place_of(*resolved[2][0])

    def stacktrace(self, site: int) -> str:
        """Return the frames of a site as text."""
        resolved = self._resolve(site)
        return "" if resolved is None else stacktrace(resolved[2])

    def forget(self, sites: Iterable[int]) -> None:
        """Drop what is known of sites whose numbers will not come again."""
        gone = set(sites)
        for site in gone:
            self._waits.pop(site, None)
            self._coroutines.pop((False, site), None)
        for key in [key for key in self._others if key[1] in gone or key[2] in gone]:
            del self._others[key]


def _code(place: Place | None) -> Attributes:
    return () if place is None else code_attributes(place)
