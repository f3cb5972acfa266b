"""Send spans to an OTLP receiver."""

from __future__ import annotations

import inspect
import logging
import threading
import time
from typing import TYPE_CHECKING, Final, Literal

from aperf._config import LimitSettings, OtlpSettings
from aperf._errors import ConfigurationError
from aperf.model import ExporterStatistics, ExportResult

from ._otlp_queue import PORTION_ROWS, SpanQueue, count_sampled
from ._otlp_sdk_spans import SdkEncoder, SdkPortion
from ._program_spans import join, leave

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aperf.model import SessionInfo, SpanBatch, Summary

    from ._otlp_client import Client
    from ._otlp_token import TokenProvider

__all__ = ("OtlpExporter",)

#: Of the semantic conventions whose `code.*` and `thread.*` the spans use.
_SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.36.0"

#: Two requests in flight: while one is on its way, the other is encoded.
_SENDERS: Final = 2

_QUEUE_BYTES: Final = 128 << 20

_ENDPOINTS: Final = {
    "grpc": "http://localhost:4317",
    "http/protobuf": "http://localhost:4318/v1/traces",
}

#: Time kept back from a deadline to cancel what is under way and to see the threads end.
_RESERVE_NS: Final = 200_000_000

#: So long they are waited for even if the deadline is over: they have all but ended by then, and
#: only they know what became of the last request.
_LEAST_WAIT_NS: Final = 50_000_000

#: What a forked child inherited and must not touch, not even by freeing it.
_INHERITED: Final[list[_Delivery]] = []


def _pairs(headers: Mapping[str, str] | Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    try:
        pairs = tuple(dict(headers).items())
        if all(isinstance(text, str) for pair in pairs for text in pair):
            return pairs
    except (TypeError, ValueError):
        pass
    # They may hold credentials, so they are not shown.
    raise ConfigurationError("headers is not accepted; use a mapping of names to texts, or pairs")


def _is_provider(value: object) -> bool:
    return callable(value) and not inspect.iscoroutinefunction(value)


class _Delivery:
    """All that lives while a session does: a connection, a queue, and threads between them."""

    def __init__(
        self,
        settings: OtlpSettings,
        session: SessionInfo,
        queue_spans: int,
        batch_spans: int,
        token_provider: TokenProvider | None,
    ) -> None:
        # gRPC and OpenTelemetry's API take 100 ms to import: not before they are needed, and not
        # when the interpreter is about to exit either.
        from aperf.protocol.otlp import Encoder

        from ._otlp_client import connect, public_endpoint
        from ._otlp_sender import Sender
        from ._otlp_token import Authorization

        endpoint = public_endpoint(settings.endpoint)
        self.queue = SpanQueue(queue_spans, _QUEUE_BYTES, batch_spans)
        self.client: Client = connect(settings, f"aperf/{session.version}")
        self._sender = Sender(
            self.queue,
            self.client,
            Encoder(session.resource, "aperf", session.version, _SCHEMA_URL),
            SdkEncoder(session.resource, _SCHEMA_URL),
            Authorization(token_provider, endpoint),
            timeout_s=settings.timeout_s,
            endpoint=endpoint,
        )
        # Daemons: a receiver that does not answer must not keep the program from ending.
        self._threads = [
            threading.Thread(target=self._sender.run, name=f"aperf-otlp-{number}", daemon=True)
            for number in range(_SENDERS)
        ]
        for thread in self._threads:
            thread.start()
        self._outlet = join(session)

    @property
    def statistics(self) -> ExporterStatistics:
        """The counters."""
        counters = self.queue.statistics
        dropped = counters.dropped_spans + self._outlet.dropped
        return counters._replace(dropped_spans=dropped)

    def look(self) -> None:
        """Queue the program's own spans that have ended."""
        spans = self._outlet.take()
        if spans:
            self.queue.put_portion(SdkPortion.of(spans))

    def end(self) -> None:
        """Take the program's spans for the last time."""
        leave(self._outlet)
        self.look()

    def stop(self, deadline_ns: int) -> None:
        """Cancel what is under way, see the threads end, count what is lost, and tell it."""
        lost_before = self.queue.statistics.dropped_spans
        self.queue.close()
        self.client.close()
        deadline_ns = max(deadline_ns, time.monotonic_ns() + _LEAST_WAIT_NS)
        for thread in self._threads:
            thread.join(max(deadline_ns - time.monotonic_ns(), 0) / 1e9)
        self.queue.seal()
        if self.queue.statistics.dropped_spans > lost_before:
            self._sender.tell_end()


class OtlpExporter:
    """Sends spans as OTLP over gRPC or HTTP, from threads of its own.

    Only `flush` and `shutdown` wait for the receiver, and no longer than they are told to. Several
    of them in one session do not delay each other: each has its own queue, threads and connections.

    While the program has no `TracerProvider`, the spans that it makes with OpenTelemetry's API are
    sent, too.

    Args:
        endpoint: URL of the receiver; ``https`` means TLS. By default port 4317 of this machine for
            gRPC, 4318 for HTTP. For gRPC it may be a target such as ``unix:/run/otel.sock``, with
            TLS unless `insecure`; for HTTP it is the whole URL, and one without a path means
            ``/v1/traces``.
        protocol: "grpc" or "http/protobuf".
        headers: sent with every request.
        token_provider: called before each request, on a thread of the exporter; returns the token
            for the header ``authorization: Bearer …``, which wins over the one in `headers`, or
            None for no token. While it raises, the last token is used.
        insecure: without TLS, for an endpoint without a scheme.
        certificate: file with the certificates of trusted authorities (PEM).
        client_key: file with the client's private key (PEM).
        client_certificate: file with the client's certificate chain (PEM).
        compression: "none" or "gzip".
        timeout_s: for one request, retries included.
        queue_spans: how many spans may wait; more are dropped and counted. One takes about 150
            bytes.
        batch_spans: how many spans a request may hold, 4096 at most.

    Raises:
        ConfigurationError: an argument is not accepted.
    """

    consumes: Final = "spans"

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        protocol: Literal["grpc", "http/protobuf"] = "grpc",
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        token_provider: TokenProvider | None = None,
        insecure: bool | None = None,
        certificate: str | None = None,
        client_key: str | None = None,
        client_certificate: str | None = None,
        compression: Literal["none", "gzip"] = "none",
        timeout_s: float = 10.0,
        queue_spans: int = 1 << 18,
        batch_spans: int = PORTION_ROWS,
    ) -> None:
        if protocol not in _ENDPOINTS:
            raise ConfigurationError(f"protocol is {protocol!r}; grpc or http/protobuf is accepted")
        if endpoint is None:
            endpoint = _ENDPOINTS[protocol]
        if not endpoint:
            raise ConfigurationError("endpoint is empty; a URL like http://HOST:PORT is accepted")
        if compression not in ("none", "gzip"):
            raise ConfigurationError(f"compression is {compression!r}; none or gzip is accepted")
        if not timeout_s > 0:
            raise ConfigurationError(f"timeout_s is {timeout_s}; more than 0 is accepted")
        if queue_spans < 1:
            raise ConfigurationError(f"queue_spans is {queue_spans}; 1 or more is accepted")
        if not 1 <= batch_spans <= PORTION_ROWS:
            accepted = f"1 to {PORTION_ROWS} is accepted"
            raise ConfigurationError(f"batch_spans is {batch_spans}; {accepted}")
        if token_provider is not None and not _is_provider(token_provider):
            # It may be a token, so it is not shown.
            message = "token_provider is not accepted; use a function that returns the token"
            raise ConfigurationError(message)
        self._settings = OtlpSettings(
            protocol=protocol,
            endpoint=endpoint,
            headers=_pairs(headers),
            insecure=bool(insecure),
            certificate=certificate,
            client_key=client_key,
            client_certificate=client_certificate,
            compression=compression,
            timeout_s=timeout_s,
        )
        self._queue_spans = queue_spans
        self._batch_spans = batch_spans
        self._token_provider = token_provider
        self._delivery: _Delivery | None = None
        self._outside = ExporterStatistics()  # the counters while there is no delivery
        self._dropped_at_flush = 0

    @classmethod
    def from_settings(
        cls, settings: OtlpSettings, limits: LimitSettings | None = None
    ) -> OtlpExporter:
        """Return an exporter as the environment or the caller configured it."""
        limits = limits or LimitSettings()
        return cls(
            settings.endpoint,
            protocol=settings.protocol,
            headers=settings.headers,
            insecure=settings.insecure,
            certificate=settings.certificate,
            client_key=settings.client_key,
            client_certificate=settings.client_certificate,
            compression=settings.compression,
            timeout_s=settings.timeout_s,
            queue_spans=limits.queue_spans,
            batch_spans=min(limits.batch_spans, PORTION_ROWS),
        )

    def __repr__(self) -> str:
        from ._otlp_client import public_endpoint

        return f"<OtlpExporter {public_endpoint(self._settings.endpoint)}>"

    def start(self, session: SessionInfo) -> None:
        """Prepare the connection and start the threads.

        Raises:
            ConfigurationError: a certificate or key cannot be used, or for HTTP the endpoint.
        """
        log = logging.getLogger("aperf")
        if not log.handlers:  # else a warning would go to stderr where logging is not configured
            log.addHandler(logging.NullHandler())
        self._delivery = _Delivery(
            self._settings, session, self._queue_spans, self._batch_spans, self._token_provider
        )
        self._dropped_at_flush = 0

    def look(self) -> None:
        """Queue the spans that the program has made with OpenTelemetry's API alone."""
        if self._delivery is not None:
            self._delivery.look()

    def export(self, batch: SpanBatch, deadline_ns: int) -> ExportResult:
        """Queue a batch; what does not fit is dropped, and so is all outside of a session."""
        if self._delivery is not None:
            return ExportResult(dropped=self._delivery.queue.put(batch))
        dropped = count_sampled(batch, 0, len(batch))
        total = self._outside.dropped_spans + dropped
        self._outside = self._outside._replace(dropped_spans=total)
        return ExportResult(dropped=dropped)

    def flush(self, deadline_ns: int) -> bool:
        """Wait until the receiver has confirmed all that was exported since the last flush."""
        if self._delivery is None:
            return self._outside.dropped_spans == 0
        self._delivery.look()
        empty = self._delivery.queue.wait_until_empty(deadline_ns)
        dropped_before = self._dropped_at_flush
        self._dropped_at_flush = self._delivery.statistics.dropped_spans
        return empty and dropped_before == self._dropped_at_flush

    def finish(self, summary: Summary) -> None:
        """Ignore the summary: it has no place in OTLP."""

    def shutdown(self, deadline_ns: int) -> bool:
        """Deliver what is left, then end threads and connection; say whether no span was lost."""
        if self._delivery is None:
            return self._outside.dropped_spans == 0
        delivery = self._delivery
        delivery.end()
        left_ns = max(deadline_ns - time.monotonic_ns(), 0)
        delivery.queue.wait_until_empty(deadline_ns - min(_RESERVE_NS, left_ns // 4))
        delivery.stop(deadline_ns)
        self._outside, self._delivery = delivery.statistics, None
        return self._outside.dropped_spans == 0

    def statistics(self) -> ExporterStatistics:
        """Return the counters since `start`."""
        return self._outside if self._delivery is None else self._delivery.statistics

    def forget_after_fork(self) -> None:
        """Leave everything to the parent: the threads exist only there, and so does the connection.

        Nothing is freed or locked: a lock may be held by a thread that is gone.
        """
        if self._delivery is not None:
            self._delivery.client.forget_after_fork()
            _INHERITED.append(self._delivery)
        self._delivery = None
        self._outside = ExporterStatistics()
