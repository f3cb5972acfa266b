"""OTLP over HTTP/1.1, and what the answers of a receiver mean.

`http.client` from the standard library: it needs no thread, no event loop and no further package,
and a blocking call on a thread that runs already works at interpreter exit and beside a fork.
"""

from __future__ import annotations

import base64
import http.client
import ssl
import threading
import time
import zlib
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote, urlsplit

from aperf._errors import ConfigurationError
from aperf.protocol.otlp import decode_status_message

from ._otlp_client import TRACES, Outcome, Signal, Verdict, read_pem, taken
from ._otlp_connection import Answer, Connection, Peer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from urllib.parse import SplitResult

    from aperf._config import OtlpSettings

__all__ = ("HttpClient",)

_PROTOBUF: Final = "application/x-protobuf"
_IN_A_TARGET: Final = "%/:?=&~+!$,;'@()*[]"  # what may stand there as it is

# https://opentelemetry.io/docs/specs/otlp/#otlphttp-response: these four and no others.
_RETRYABLE: Final = frozenset((429, 502, 503, 504))
_TOO_LARGE: Final = 413

_MAX_TEXT: Final = 200
#: More would not be believed, and has no room in what counts nanoseconds.
_MAX_RETRY_AFTER_S: Final = 10**6


class HttpClient:
    """Posts requests, each thread over a connection of its own, which is kept for the next one.

    Args:
        settings: where and how; an endpoint without a path means that of the signal.
        user_agent: the header, unless the settings have one.
        signal: what is sent.

    Raises:
        ConfigurationError: the endpoint is no URL, or a certificate or key cannot be used.
    """

    def __init__(self, settings: OtlpSettings, user_agent: str, signal: Signal = TRACES) -> None:
        url = urlsplit(settings.endpoint)
        self._peer = _peer(url, settings)
        query = f"?{url.query}" if url.query else ""
        self._target = quote((url.path or signal.path) + query, safe=_IN_A_TARGET)
        self._headers = {
            "user-agent": user_agent,
            **_basic_authorization(url),
            **{key.lower(): value for key, value in settings.headers},
            "content-type": _PROTOBUF,
        }
        self._gzip = settings.compression == "gzip"
        if self._gzip:
            self._headers["content-encoding"] = "gzip"
        self._lock = threading.Lock()
        self._connections: set[Connection] = set()
        self._idle: list[Connection] = []
        self._is_closed = False

    def send(self, request: bytes, timeout_s: float, headers: Mapping[str, str]) -> Outcome:
        """Send an ExportTraceServiceRequest and wait for the answer."""
        deadline_ns = time.monotonic_ns() + int(timeout_s * 1e9)
        body = zlib.compress(request, wbits=31) if self._gzip else request
        connection = self._take()
        try:
            answer = connection.post(self._target, body, {**self._headers, **headers}, deadline_ns)
        except (OSError, http.client.HTTPException, ValueError) as error:
            if self._is_closed:
                return Outcome(Verdict.RETRY, "closed before there was an answer")
            return _failure(error)
        finally:
            self._give_back(connection)
        return _outcome(answer)

    def close(self) -> None:
        """Cancel all calls and release the connections."""
        with self._lock:
            self._is_closed = True
            under_way = self._connections.difference(self._idle)
            idle, self._idle = self._idle, []
        for connection in under_way:  # whose threads release them
            connection.cancel()
        for connection in idle:
            connection.release()

    def forget_after_fork(self) -> None:
        """Close this process's copies of the sockets; the connections go on in the parent."""
        for connection in self._connections:
            connection.forget_after_fork()

    def _take(self) -> Connection:
        """Return the connection that was used last, if it still stands, else a new one."""
        with self._lock:
            while self._idle:
                connection = self._idle.pop()
                if connection.is_reusable:
                    return connection
                self._connections.discard(connection)
                connection.release()
            connection = Connection(self._peer)
            self._connections.add(connection)
            if self._is_closed:
                connection.cancel()
            return connection

    def _give_back(self, connection: Connection) -> None:
        with self._lock:
            if connection.is_reusable and not self._is_closed:
                self._idle.append(connection)
                return
            self._connections.discard(connection)
        connection.release()


# ---------------------------------------------------------------------------------- where to


def _peer(url: SplitResult, settings: OtlpSettings) -> Peer:
    accepted = "http://HOST:PORT or https://HOST:PORT is accepted with http/protobuf"
    try:
        host, port = url.hostname or "", url.port
        host.encode("idna")  # loads the codec: later may be while the interpreter exits
    except ValueError:
        host, port = "", None
    if url.scheme not in ("http", "https") or not host:
        raise ConfigurationError(f"OTLP endpoint is {url.geturl()!r}; {accepted}")
    if url.scheme == "http":
        return Peer(host, port or 80, None)
    return Peer(host, port or 443, _tls(settings))


def _tls(settings: OtlpSettings) -> ssl.SSLContext:
    """Trust the given authorities, or the system's; show the client's certificate if there is one.

    Raises:
        ConfigurationError: a file cannot be used.
    """
    # For the words about a file that is not there: those of ssl do not say which one it was.
    for name in ("certificate", "client_key", "client_certificate"):
        read_pem(name, getattr(settings, name))
    try:
        context = ssl.create_default_context(cafile=settings.certificate)
        context.set_alpn_protocols(["http/1.1"])
        if settings.client_certificate is not None:
            # A key that is encrypted must not make the program ask its terminal for a password.
            context.load_cert_chain(settings.client_certificate, settings.client_key, password="")
    except ssl.SSLError as error:
        files = (settings.certificate, settings.client_key, settings.client_certificate)
        names = ", ".join(filter(None, files))
        message = f"OTLP certificates or keys cannot be used ({error.reason or error}): {names}"
        raise ConfigurationError(message) from error
    return context


def _basic_authorization(url: SplitResult) -> dict[str, str]:
    """Return the header for a name and password in the URL, as OpenTelemetry's SDK sends it."""
    if url.username is None:
        return {}
    pair = f"{unquote(url.username)}:{unquote(url.password or '')}"
    return {"authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


# ---------------------------------------------------------------------------------- answers


def _failure(error: Exception) -> Outcome:
    """Tell what may be better the next time from what will not."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Outcome(Verdict.REFUSED, f"certificate not accepted: {error.verify_message}")
    if isinstance(error, TimeoutError):
        return Outcome(Verdict.RETRY, "no answer in time")
    if isinstance(error, OSError):
        return Outcome(Verdict.RETRY, error.strerror or str(error))
    if isinstance(error, http.client.HTTPException):
        return Outcome(Verdict.REFUSED, "the answer is not HTTP/1.1; it may be a port for gRPC")
    # Its text would repeat the headers.
    return Outcome(Verdict.REFUSED, "a header cannot be sent")


def _outcome(answer: Answer) -> Outcome:
    status = answer.status
    if 200 <= status < 300:
        return taken(answer.body)
    reason = f"HTTP {status} {answer.reason}".rstrip()
    if 300 <= status < 400:  # followed, the credentials would go wherever the answer says
        return Outcome(Verdict.REFUSED, f"{reason}: redirects are not followed")
    if message := _message(answer):
        reason = f"{reason}: {message}"
    if status in _RETRYABLE:
        retry_after_ns = _retry_after_ns(answer.headers.get("retry-after", ""))
        return Outcome(Verdict.RETRY, reason, retry_after_ns=retry_after_ns)
    return Outcome(Verdict.SPLIT if status == _TOO_LARGE else Verdict.REFUSED, reason)


def _message(answer: Answer) -> str:
    """Return what the body says to people, cut and on one line."""
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    text = ""
    if kind == _PROTOBUF:
        try:
            text = decode_status_message(answer.body)
        except ValueError:
            pass
    elif kind in ("text/plain", "application/json"):
        text = answer.body[: 4 * _MAX_TEXT].decode("utf-8", "replace")
    line = " ".join(text.split())
    return "".join(letter for letter in line if letter.isprintable())[:_MAX_TEXT]


def _retry_after_ns(text: str) -> int | None:
    """Read the header: seconds, or a date."""
    text = text.strip()
    if text.isascii() and text.isdecimal():
        return min(int(text[:10]), _MAX_RETRY_AFTER_S) * 10**9
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    seconds = date.timestamp() - time.time()
    return int(min(max(seconds, 0), _MAX_RETRY_AFTER_S) * 1e9)
