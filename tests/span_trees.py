"""Reads a program's OpenTelemetry spans as trees, without those that aperf adds between them."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from opentelemetry.sdk.trace import ReadableSpan

__all__ = ("Attributes", "Tree", "outline", "trees_of", "without_ports")

Attributes: TypeAlias = tuple[tuple[str, str], ...]

_OURS: Final = "aperf"  # the scope of tasks and awaits
_PORT: Final = re.compile(r"(?<=:)\d{4,5}\b")


class Tree(NamedTuple):
    """A span and what is below it, without what differs from run to run: ids, times and ports."""

    name: str
    kind: str
    scope: str
    status: str
    attributes: Attributes
    events: tuple[str, ...]
    links: int
    children: tuple[Tree, ...]

    def walk(self) -> Iterator[Tree]:
        """Yield this span and all below it."""
        yield self
        for child in self.children:
            yield from child.walk()


def trees_of(spans: Iterable[ReadableSpan]) -> list[Tree]:
    """Return the trees of all spans that are not aperf's, in an order that does not change.

    Every root has a trace of its own, every parent is there, and none is of another trace. A span
    that is a root as the program sees it is not below one of aperf's.
    """
    return _Forest(spans).trees()


def outline(trees: Iterable[Tree], indent: str = "") -> str:
    """Return names and kinds, a line for each span, indented below its parent."""
    return "".join(
        f"{indent}{tree.kind} {tree.name}\n{outline(tree.children, indent + '  ')}"
        for tree in trees
    )


class _Forest:
    def __init__(self, spans: Iterable[ReadableSpan]) -> None:
        self._spans: dict[int, Any] = {}
        for span in spans:
            context = span.get_span_context()
            assert context is not None
            assert context.span_id not in self._spans, f"{span.name} is told twice"
            self._spans[context.span_id] = span
        self._below: dict[int | None, list[int]] = {}
        for number, span in self._spans.items():
            if not _is_ours(span):
                self._below.setdefault(self._above(span), []).append(number)

    def trees(self) -> list[Tree]:
        roots = self._below.get(None, [])
        traces = Counter(self._spans[number].context.trace_id for number in roots)
        shared = [t for t, count in traces.items() if count > 1]
        assert not shared, [s.name for s in self._spans.values() if s.context.trace_id in shared]
        return sorted(self._tree(number) for number in roots)

    def _above(self, span: Any) -> int | None:
        """Return the id of the nearest span above that is not aperf's."""
        above = span
        while above.parent is not None:
            below, above = above, self._spans.get(above.parent.span_id)
            assert above is not None, f"the parent of {below.name} is not told"
            assert span.context.trace_id == above.context.trace_id
            if not _is_ours(above):
                number: int = above.context.span_id
                return number
        assert above is span, f"{span.name} is below {above.name} of aperf"
        return None

    def _tree(self, number: int) -> Tree:
        span = self._spans[number]
        return Tree(
            span.name,
            span.kind.name,
            span.instrumentation_scope.name,
            f"{span.status.status_code.name} {span.status.description or ''}".strip(),
            without_ports(span.attributes),
            tuple(event.name for event in span.events),
            len(span.links),
            tuple(sorted(map(self._tree, self._below.get(number, [])))),
        )


def _is_ours(span: Any) -> bool:
    return bool(span.instrumentation_scope.name == _OURS)


def without_ports(attributes: Mapping[str, Any]) -> Attributes:
    """Return attributes as text, without the numbers of ports, which differ from run to run."""
    texts = {
        key: type(value).__name__ if key.endswith("port") else _PORT.sub("PORT", repr(value))
        for key, value in attributes.items()
    }
    return tuple(sorted(texts.items()))
