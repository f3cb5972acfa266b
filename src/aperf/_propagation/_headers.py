"""The headers by which a trace goes on somewhere else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ._attach import Attachment
from ._text import baggage_of, traceparent_of, tracestate_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Self

    from opentelemetry.context import Context

__all__ = ("BAGGAGE_TEXT", "TraceHeaders")

#: Where a context keeps the text that its baggage comes from, and that baggage. OpenTelemetry would
#: write another one: with properties as part of the values, and encoded in its own way.
BAGGAGE_TEXT: Final = "aperf-baggage-text"

_CLEANERS: Final[dict[str, Callable[[str], str]]] = {
    "traceparent": traceparent_of,
    "tracestate": tracestate_of,
    "baggage": baggage_of,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceHeaders:
    """W3C Trace Context and Baggage as text; "" for what there is not. False if nothing is there.

    Attributes:
        traceparent: the span that others are to be below, in the form of version 00, with flags 00
            or 01.
        tracestate: what vendors have to say about the trace.
        baggage: what travels along, percent-encoded.

    Raises:
        ValueError: a text is not fit to be sent. `parse` takes what comes from elsewhere.
    """

    traceparent: str = ""
    tracestate: str = ""
    baggage: str = ""

    def __post_init__(self) -> None:
        for name, clean in _CLEANERS.items():
            text = getattr(self, name)
            if not isinstance(text, str) or clean(text) != text:
                raise ValueError(
                    f"TraceHeaders: {name}={text!r} is not accepted; it must be a {name} as the "
                    "W3C has it. TraceHeaders.parse() takes headers from elsewhere"
                )
        if self.tracestate and not self.traceparent:
            raise ValueError(
                f"TraceHeaders: tracestate={self.tracestate!r} is not accepted without traceparent"
            )

    @classmethod
    def parse(cls, headers: Mapping[Any, Any] | Iterable[Any]) -> Self:
        """Take what is fit from headers of any origin, and leave the rest. Never raises.

        Args:
            headers: a mapping, or pairs: of HTTP, ASGI, gRPC metadata, a message, `os.environ`.
                Names in any case; names and values as text or bytes; values also as lists.
        """
        found: dict[str, list[str]] = {name: [] for name in _CLEANERS}
        try:
            for name, value in _pairs(headers):
                key = _text(name).lower()
                if key in found:
                    found[key] += filter(None, _texts(value))
        except Exception:
            return cls()  # what is broken half-way is not to be trusted
        parents = {text.strip(" \t") for text in found["traceparent"]}
        traceparent = traceparent_of(parents.pop()) if len(parents) == 1 else ""
        return cls(
            traceparent=traceparent,
            tracestate=tracestate_of(",".join(found["tracestate"])) if traceparent else "",
            baggage=baggage_of(",".join(found["baggage"])),
        )

    def __bool__(self) -> bool:
        return bool(self.traceparent or self.baggage)

    @property
    def trace_id(self) -> str | None:
        """The trace's id, 32 hexadecimal digits; None without a trace."""
        return self.traceparent[3:35] or None

    @property
    def is_sampled(self) -> bool:
        """Whether the trace is recorded where it comes from."""
        return self.traceparent.endswith("1")

    def to_headers(self) -> dict[str, str]:
        """Return a new dictionary of those that there are."""
        texts = {name: getattr(self, name) for name in _CLEANERS}
        return {name: text for name, text in texts.items() if text}

    def attach(self) -> Attachment:
        """Make them OpenTelemetry's current context for a block, `with` or `async with`.

        What the headers do not tell stays: without a traceparent the current span, and all baggage
        of other keys. When the block ends what was current before is so again, unless somebody has
        changed it meanwhile, or it ends in another context, as abandoned generators do.
        """
        return Attachment(self._fill if self else None)

    def _fill(self, context: Context) -> Context:
        from opentelemetry.baggage import get_all
        from opentelemetry.baggage.propagation import W3CBaggagePropagator
        from opentelemetry.context import set_value
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        carrier = self.to_headers()
        if self.traceparent:
            context = TraceContextTextMapPropagator().extract(carrier, context)
        if self.baggage:
            is_all = not get_all(context)
            context = W3CBaggagePropagator().extract(carrier, context)
            if is_all:
                known = dict(get_all(context)), self.baggage
                context = set_value(BAGGAGE_TEXT, known, context)
        return context


def _pairs(headers: Any) -> Iterator[Any]:  # noqa: ANN401 - whatever others call headers
    items = getattr(headers, "items", None)
    return iter(items() if callable(items) else headers)


def _texts(value: object) -> list[str]:
    return [_text(each) for each in value] if isinstance(value, (list, tuple)) else [_text(value)]


def _text(value: object) -> str:
    if isinstance(value, (bytes, bytearray)):
        return value.decode("latin-1")
    return value if isinstance(value, str) else ""
