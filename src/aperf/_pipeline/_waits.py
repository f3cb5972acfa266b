"""What a task waited for: from the frames at which it was suspended to words that a person knows.

Theory of operation. A suspended task ends in a chain of frames: its own code, below that perhaps a
library, and innermost the function that gave a future to the loop. That function says what the wait
is, because asyncio and its relatives have one function per way of waiting: `TABLE` lists them. Some
(`Event.wait`, `Queue.get`, …) are also what others are built from: a task in anyio's
`MemoryObjectReceiveStream.receive` stands in `Event.wait`. So the search goes on outwards from such
a building block, as long as it meets library code, and takes what it finds there instead.

Where the innermost function is no library's, the callbacks of a plain future tell shields and
executors apart (the recorder reads them at suspend), and the awaitable's type tells the rest.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from aperf._recorder._codes import USER, classify
from aperf._recorder._layout import NEAR, Hint

from ._places import Place, module_of, place_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aperf._recorder._py.sites import Frames, Site
    from aperf.model import WaitKind

__all__ = ("UNKNOWN", "Wait", "classify_wait")


@dataclass(frozen=True, slots=True)
class Wait:
    """What a task waited for.

    Attributes:
        kind: one of the kinds of docs/reference/wait-kinds.md.
        name: ``await`` and what is awaited, of low cardinality.
        place: where in the user's own code, None where no frame is known.
    """

    kind: WaitKind
    name: str
    place: Place | None = None


UNKNOWN: Final = Wait("unknown", "await unknown")

#: A kind, with a name where the function's own would mean little to who did not write it.
_Row: TypeAlias = "WaitKind | tuple[WaitKind, str]"

#: Module → qualified name of the function → what it waits for.
TABLE: Final[Mapping[str, Mapping[str, _Row]]] = {
    # ----------------------------------------------------------------------------- standard library
    "asyncio.tasks": {
        "sleep": "sleep",
        "__sleep0": ("yield", "sleep(0)"),
        "_wait": ("wait", "wait"),
        "as_completed.<locals>._wait_for_one": ("wait", "as_completed"),
        "_AsCompletedIterator._wait_for_one": ("wait", "as_completed"),  # 3.13
        "_cancel_and_wait": ("task", "wait_for"),
    },
    "asyncio.taskgroups": {
        "TaskGroup.__aexit__": ("task_group", "TaskGroup"),
        "TaskGroup._aexit": ("task_group", "TaskGroup"),  # 3.13.2
    },
    "asyncio.threads": {"to_thread": "thread"},
    "asyncio.locks": {
        "Lock.acquire": "lock",
        "Event.wait": "event",
        "Condition.wait": "condition",
        "Semaphore.acquire": "semaphore",
        "Barrier.wait": "barrier",
    },
    "asyncio.queues": {
        "Queue.get": "queue_get",
        "Queue.put": "queue_put",
        "Queue.join": "event",
    },
    "asyncio.streams": {
        "StreamReader._wait_for_data": ("stream_read", "StreamReader.read"),
        "FlowControlMixin._drain_helper": ("stream_drain", "StreamWriter.drain"),
        "StreamWriter.wait_closed": "socket",
        # What follows stands innermost on uvloop, whose own functions have no frames.
        "StreamWriter.start_tls": ("socket", "start_tls"),
        "open_connection": ("socket", "socket connect"),
        "open_unix_connection": ("socket", "socket connect"),
        "start_server": ("dns", "getaddrinfo"),
    },
    "asyncio.selector_events": {
        "BaseSelectorEventLoop.sock_recv": ("socket", "socket recv"),
        "BaseSelectorEventLoop.sock_recv_into": ("socket", "socket recv"),
        "BaseSelectorEventLoop.sock_recvfrom": ("socket", "socket recv"),
        "BaseSelectorEventLoop.sock_recvfrom_into": ("socket", "socket recv"),
        "BaseSelectorEventLoop.sock_sendall": ("socket", "socket send"),
        "BaseSelectorEventLoop.sock_sendto": ("socket", "socket send"),
        "BaseSelectorEventLoop.sock_connect": ("socket", "socket connect"),
        "BaseSelectorEventLoop.sock_accept": ("socket", "socket accept"),
        "BaseSelectorEventLoop._accept_connection2": ("socket", "socket accept"),
    },
    "asyncio.base_events": {
        "BaseEventLoop.getaddrinfo": ("dns", "getaddrinfo"),
        "BaseEventLoop.getnameinfo": ("dns", "getnameinfo"),
        "BaseEventLoop.create_server": ("dns", "getaddrinfo"),
        "BaseEventLoop.create_connection": ("socket", "socket connect"),
        "BaseEventLoop._create_connection_transport": ("socket", "socket connect"),
        "BaseEventLoop.create_datagram_endpoint": ("socket", "socket connect"),
        "BaseEventLoop.start_tls": ("socket", "start_tls"),
        "BaseEventLoop.connect_read_pipe": ("socket", "connect_read_pipe"),
        "BaseEventLoop.connect_write_pipe": ("socket", "connect_write_pipe"),
        "BaseEventLoop.shutdown_default_executor": ("executor", "shutdown_default_executor"),
        "Server.serve_forever": "socket",
        "Server.wait_closed": "socket",
    },
    "asyncio.unix_events": {
        "_UnixSelectorEventLoop._sock_sendfile_native": ("socket", "socket send"),
        "_UnixSelectorEventLoop._make_subprocess_transport": ("subprocess", "create_subprocess"),
    },
    "asyncio.base_subprocess": {
        "BaseSubprocessTransport._wait": ("subprocess", "Process.wait"),
    },
    "asyncio.subprocess": {
        "Process.wait": "subprocess",
        "Process.communicate": "subprocess",
        "create_subprocess_exec": ("subprocess", "create_subprocess"),
        "create_subprocess_shell": ("subprocess", "create_subprocess"),
    },
    # ---------------------------------------------------------------------------------------- anyio
    "anyio._backends._asyncio": {
        "TaskGroup.__aexit__": ("task_group", "TaskGroup"),
        "TaskGroup.start": "task_group",
        "Lock.acquire": "lock",
        "Event.wait": "event",
        "Semaphore.acquire": "semaphore",
        "CapacityLimiter.acquire_on_behalf_of": ("semaphore", "CapacityLimiter.acquire"),
        "AsyncIOBackend.run_sync_in_worker_thread": ("thread", "to_thread"),
        "AsyncIOBackend.getaddrinfo": ("dns", "getaddrinfo"),
        "AsyncIOBackend.getnameinfo": ("dns", "getnameinfo"),
        "AsyncIOBackend.connect_tcp": ("socket", "socket connect"),
        "AsyncIOBackend.connect_unix": ("socket", "socket connect"),
        "AsyncIOBackend.wait_readable": ("socket", "wait_readable"),
        "AsyncIOBackend.wait_writable": ("socket", "wait_writable"),
        "AsyncIOBackend.open_process": ("subprocess", "open_process"),
        "Process.wait": "subprocess",
        "TCPSocketListener.accept": ("socket", "socket accept"),
        "UNIXSocketListener.accept": ("socket", "socket accept"),
        "SocketStream.receive": ("socket", "socket recv"),
        "SocketStream.send": ("socket", "socket send"),
        "UNIXSocketStream.receive": ("socket", "socket recv"),
        "UNIXSocketStream.send": ("socket", "socket send"),
        "UNIXSocketStream.receive_fds": ("socket", "socket recv"),
        "UNIXSocketStream.send_fds": ("socket", "socket send"),
        "UDPSocket.receive": ("socket", "socket recv"),
        "UDPSocket.send": ("socket", "socket send"),
        "ConnectedUDPSocket.receive": ("socket", "socket recv"),
        "ConnectedUDPSocket.send": ("socket", "socket send"),
        "UNIXDatagramSocket.receive": ("socket", "socket recv"),
        "UNIXDatagramSocket.send": ("socket", "socket send"),
        "ConnectedUNIXDatagramSocket.receive": ("socket", "socket recv"),
        "ConnectedUNIXDatagramSocket.send": ("socket", "socket send"),
    },
    "anyio._core._synchronization": {"Condition.wait": "condition"},
    "anyio._core._sockets": {"connect_tcp": ("socket", "socket connect")},
    "anyio.streams.memory": {
        "MemoryObjectReceiveStream.receive": "queue_get",
        "MemoryObjectSendStream.send": "queue_put",
    },
    # ------------------------------------------------------------------------------- HTTP libraries
    "aiohttp.streams": {
        "StreamReader._wait": ("stream_read", "StreamReader.read"),
        "StreamReader.wait_eof": "stream_read",
        "DataQueue.read": "stream_read",
        "FlowControlDataQueue.read": "stream_read",
    },
    "aiohttp._websocket.reader_py": {
        "WebSocketDataQueue.read": ("stream_read", "WebSocket.receive"),
    },
    # Innermost where the reader above is compiled.
    "aiohttp.client_ws": {
        "ClientWebSocketResponse.receive": ("stream_read", "WebSocket.receive"),
    },
    "aiohttp.web_ws": {"WebSocketResponse.receive": ("stream_read", "WebSocket.receive")},
    "aiohttp.base_protocol": {
        "BaseProtocol._drain_helper": ("stream_drain", "StreamWriter.drain"),
    },
    "aiohttp.web_protocol": {"RequestHandler.start": ("stream_read", "HTTP request")},
    "aiohttp.resolver": {
        "ThreadedResolver.resolve": ("dns", "getaddrinfo"),
        "AsyncResolver.resolve": ("dns", "getaddrinfo"),
    },
    "aiohttp.connector": {
        "BaseConnector._wait_for_available_connection": ("semaphore", "connection pool"),
        "TCPConnector._resolve_host": ("dns", "getaddrinfo"),
        "TCPConnector._wrap_create_connection": ("socket", "socket connect"),
        "TCPConnector._start_tls_connection": ("socket", "start_tls"),
        "UnixConnector._create_connection": ("socket", "socket connect"),
    },
    "httpcore._async.connection_pool": {
        "AsyncPoolRequest.wait_for_connection": ("semaphore", "connection pool"),
    },
}

#: Ways to wait that libraries build other ways from.
_BLOCKS: Final = frozenset({"event", "condition", "wait", "queue_get", "task_group"})

#: (module, name) of an awaitable's type → what is waited for; subclasses count as their bases.
_TYPES: Final[Mapping[tuple[str, str], Wait]] = {
    ("_asyncio", "Task"): Wait("task", "await Task"),
    ("asyncio.tasks", "Task"): Wait("task", "await Task"),
    ("asyncio.tasks", "_GatheringFuture"): Wait("gather", "await gather"),
    ("uvloop.loop", "_SyncSocketReaderFuture"): Wait("socket", "await socket recv"),
    ("uvloop.loop", "_SyncSocketWriterFuture"): Wait("socket", "await socket send"),
    ("_asyncio", "Future"): Wait("future", "await Future"),
    ("asyncio.futures", "Future"): Wait("future", "await Future"),
}


def _by_function() -> dict[tuple[str, str], Wait]:
    """Return the table by (module, function)."""
    waits = {}
    for module, functions in TABLE.items():
        for function, row in functions.items():
            kind, name = (row, function) if isinstance(row, str) else row
            waits[module, function] = Wait(kind, f"await {name}")
    if sys.version_info < (3, 12):
        # It runs what it is given in a task of its own there; later it is a frame like any other.
        waits["asyncio.tasks", "wait_for"] = Wait("task", "await wait_for")
    return waits


_FUNCTIONS: Final = _by_function()
_PACKAGES: Final = frozenset(module.partition(".")[0] for module in TABLE)


def classify_wait(site: Site | None) -> Wait:
    """Say what a task waited for.

    Args:
        site: where it was suspended, None if that is not known.
    """
    if site is None:
        return UNKNOWN
    hint, awaited, frames = site
    wait = _by_frames(frames) or _by_hint(hint) or _by_type(awaited)
    return Wait(wait.kind, wait.name, _place(frames))


def _by_frames(frames: Frames) -> Wait | None:
    found = None
    # Farther out, nothing is known of short waits, and long ones must not be named otherwise.
    for code, _ in frames[:NEAR]:
        module = module_of(code)
        if module.partition(".")[0] not in _PACKAGES or classify(code) & USER:
            break
        found = _FUNCTIONS.get((module, code.co_qualname), found)
        if found is not None and found.kind not in _BLOCKS:
            break
    return found


def _by_hint(hint: int) -> Wait | None:
    if hint & Hint.SHIELD:
        return Wait("shield", "await shield")
    if hint & Hint.EXECUTOR:
        return Wait("executor", "await run_in_executor")
    return None


def _by_type(awaited: type | None) -> Wait:
    if awaited is None:
        return Wait("yield", "await yield")
    for base in awaited.__mro__:
        wait = _TYPES.get((base.__module__, base.__qualname__))
        if wait is not None:
            return wait
    return Wait("unknown", f"await {awaited.__qualname__}")


def _place(frames: Frames) -> Place | None:
    """Return the innermost place in the user's own code, else the outermost one."""
    if not frames:
        return None
    return place_of(*next((frame for frame in frames if classify(frame[0]) & USER), frames[-1]))
