"""Sends collected metrics to an OTLP receiver, by the clients that carry the spans."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, Final

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics

from aperf._errors import ExportError
from aperf._version import installed_version
from aperf.exporters._otlp_client import METRICS, UNANSWERED, Verdict, connect, public_endpoint

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricsData

    from aperf._config import OtlpSettings

__all__ = ("MetricsSender",)


#: Back-off: doubled each time, and varied by a third so that many processes do not come at once.
_FIRST_DELAY_S: Final = 0.25
_JITTER: Final = 1 / 3


class MetricsSender:
    """One connection for metrics.

    Args:
        settings: where and how; for HTTP, an endpoint without a path means ``/v1/metrics``.

    Raises:
        ConfigurationError: the endpoint is no URL, or a certificate or key cannot be used.
    """

    def __init__(self, settings: OtlpSettings) -> None:
        self.endpoint = public_endpoint(settings.endpoint)
        self._timeout_s = settings.timeout_s
        self._client = connect(settings, f"aperf/{installed_version()}", METRICS)
        self._closed = threading.Event()
        self._reason = UNANSWERED  # why the last attempt failed

    def send(self, data: MetricsData) -> None:
        """Send metrics, again and again if the receiver is not there.

        Raises:
            ExportError: they were not taken in time, or not at all.
        """
        request = encode_metrics(data).SerializeToString()
        deadline_s, delay_s = time.monotonic() + self._timeout_s, _FIRST_DELAY_S
        while True:
            left_s = max(deadline_s - time.monotonic(), 1e-3)
            outcome = self._client.send(request, left_s, {})
            if outcome.verdict is Verdict.TAKEN:
                self._reason = UNANSWERED
                if outcome.rejected_spans:  # of metrics they are data points
                    count = outcome.rejected_spans
                    raise ExportError(f"{count} points rejected: {outcome.reason}", retryable=False)
                return
            if self._closed.is_set():  # and so is the client, which can say no more than that
                raise ExportError(self._reason, retryable=True)
            self._reason = outcome.reason
            wait_s = delay_s * random.uniform(1 - _JITTER, 1 + _JITTER)
            if outcome.retry_after_ns is not None:
                wait_s = outcome.retry_after_ns * 1e-9
            may_retry = outcome.verdict is Verdict.RETRY
            is_late = time.monotonic() + wait_s >= deadline_s
            if not may_retry or is_late or self._closed.wait(wait_s):
                raise ExportError(outcome.reason, retryable=may_retry)
            delay_s *= 2

    def close(self) -> None:
        """Cancel what is under way and release the connection."""
        self._closed.set()
        self._client.close()

    def forget_after_fork(self) -> None:
        """Leave the connection to the parent."""
        self._client.forget_after_fork()
