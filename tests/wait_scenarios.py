"""Programs that really wait, each in one way, and what must be said of it.

The line that waits carries the comment ``# waits``: it is the place that must be reported.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import socket
import sys
import threading
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from types import CodeType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import aiohttp
import anyio
import anyio.lowlevel
import anyio.to_thread
import httpx
from aiohttp import web

from aperf._pipeline._places import Place

if TYPE_CHECKING:
    from aperf.model import WaitKind

__all__ = ("SCENARIOS", "Said", "Scenario")

Said: TypeAlias = "tuple[WaitKind, str]"
Program: TypeAlias = Callable[[], Coroutine[Any, Any, None]]

#: How long a program waits. Any time would do.
SOON_S: Final = 0.002
#: Tasks that nobody else holds.
BESIDE: Final[set[asyncio.Task[object]]] = set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A program, and what must be said of its waits.

    Attributes:
        run: the program.
        place: where it waits.
        said: kind and name.
        uvloop: kind and name there, where uvloop shows less.
        among: whether it waits at this place in other ways too.
    """

    run: Program
    place: Place
    said: Said
    uvloop: Said
    among: bool = False

    @property
    def name(self) -> str:
        return self.run.__name__


SCENARIOS: list[Scenario] = []


def waits(
    kind: WaitKind,
    name: str,
    *,
    uvloop: Said | None = None,
    among: bool = False,
) -> Callable[[Program], Program]:
    """Make a scenario of a program."""
    said: Said = (kind, name)

    def register(program: Program) -> Program:
        scenario = Scenario(
            run=program,
            place=marked(program),
            said=said,
            uvloop=uvloop or said,
            among=among,
        )
        SCENARIOS.append(scenario)
        return program

    return register


def marked(program: Any) -> Place:
    """Return the place of the line that is marked, and of the function that it stands in."""
    lines, first = inspect.getsourcelines(program)
    [line] = [first + n for n, text in enumerate(lines) if text.rstrip().endswith("# waits")]
    code = innermost_code(program.__code__, line)
    return Place(code.co_qualname, code.co_filename, line)


def innermost_code(code: CodeType, line: int) -> CodeType:
    """Return the innermost of nested functions that has this line in its body."""
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            found = innermost_code(inner, line)
            body = {number for _, _, number in inner.co_lines()} - {inner.co_firstlineno}
            if found is not inner or line in body:
                return found
    return code


def soon(callback: Callable[..., object], *args: Any) -> None:
    """Call back once the program waits; that it lets others run (`sleep(0)`) does not count."""
    loop = asyncio.get_running_loop()
    program: Any = asyncio.current_task()

    def look() -> None:
        if program._fut_waiter is None:
            loop.call_soon(look)
        else:
            loop.call_later(SOON_S, callback, *args)

    loop.call_soon(look)


def start(coroutine: Coroutine[Any, Any, object]) -> None:
    """Run something beside the program, which waits for it in a way of its own."""
    task = asyncio.get_running_loop().create_task(coroutine)
    BESIDE.add(task)
    task.add_done_callback(BESIDE.discard)


@contextmanager
def socket_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Provide two connected sockets."""
    left, right = socket.socketpair()
    with closing(left), closing(right):
        left.setblocking(False)
        right.setblocking(False)
        yield left, right


@contextmanager
def listener() -> Iterator[socket.socket]:
    """Provide a listening socket."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        server.setblocking(False)
        yield server


def connect(server: socket.socket) -> None:
    """Connect to a listener, and hang up."""
    socket.create_connection(server.getsockname()).close()


# -------------------------------------------------------------------------------- time and the loop


@waits("sleep", "await sleep")
async def sleep() -> None:
    await asyncio.sleep(SOON_S)  # waits


@waits("yield", "await sleep(0)")
async def sleep_zero() -> None:
    await asyncio.sleep(0)  # waits


@waits("yield", "await yield")
async def bare_yield() -> None:
    @types.coroutine
    def once() -> Generator[None, None, None]:
        yield  # waits

    await once()


@waits("sleep", "await sleep")
async def timeout() -> None:
    async with asyncio.timeout(10):
        await asyncio.sleep(SOON_S)  # waits


# On 3.11, wait_for runs what it is given in a task of its own.
@waits(*(("sleep", "await sleep") if sys.version_info >= (3, 12) else ("task", "await wait_for")))
async def wait_for() -> None:
    await asyncio.wait_for(asyncio.sleep(SOON_S), 10)  # waits


# -------------------------------------------------------------------------------- futures and tasks


@waits("future", "await Future")
async def future() -> None:
    done = asyncio.get_running_loop().create_future()
    soon(done.set_result, None)
    await done  # waits


@waits("future", "await Future")
async def subclass_of_future() -> None:
    class Answer(asyncio.Future[int]):
        pass

    done = Answer()
    soon(done.set_result, 1)
    await done  # waits


@waits("task", "await Task")
async def task() -> None:
    await asyncio.create_task(asyncio.sleep(SOON_S))  # waits


@waits("task", "await Task")
async def subclass_of_task() -> None:
    class Job(asyncio.Task[None]):
        pass

    await Job(asyncio.sleep(SOON_S))  # waits


@waits("gather", "await gather")
async def gather() -> None:
    await asyncio.gather(asyncio.sleep(SOON_S), asyncio.sleep(0))  # waits


@waits("wait", "await wait")
async def wait() -> None:
    await asyncio.wait([asyncio.create_task(asyncio.sleep(SOON_S))])  # waits


@waits("wait", "await as_completed")
async def as_completed() -> None:
    for first in asyncio.as_completed([asyncio.sleep(SOON_S)]):
        await first  # waits


@waits("shield", "await shield")
async def shield() -> None:
    await asyncio.shield(asyncio.sleep(SOON_S))  # waits


@waits("task_group", "await TaskGroup")
async def task_group() -> None:
    async with asyncio.TaskGroup() as group:  # waits
        group.create_task(asyncio.sleep(SOON_S))


# ------------------------------------------------------------------------------ locks and their kin


@waits("lock", "await Lock.acquire")
async def lock() -> None:
    held = asyncio.Lock()
    await held.acquire()
    soon(held.release)
    async with held:  # waits
        pass


@waits("event", "await Event.wait")
async def event() -> None:
    happened = asyncio.Event()
    soon(happened.set)
    await happened.wait()  # waits


@waits("condition", "await Condition.wait")
async def condition() -> None:
    changed = asyncio.Condition()

    async def change() -> None:
        async with changed:
            changed.notify_all()

    async with changed:
        start(change())
        await changed.wait()  # waits


@waits("semaphore", "await Semaphore.acquire")
async def semaphore() -> None:
    seats = asyncio.BoundedSemaphore(1)
    await seats.acquire()
    soon(seats.release)
    await seats.acquire()  # waits


@waits("barrier", "await Barrier.wait")
async def barrier() -> None:
    party = asyncio.Barrier(2)
    soon(start, party.wait())
    await party.wait()  # waits


# ------------------------------------------------------------------------------------------- queues


@waits("queue_get", "await Queue.get")
async def queue_get() -> None:
    queue: asyncio.Queue[int] = asyncio.PriorityQueue()
    soon(queue.put_nowait, 1)
    await queue.get()  # waits


@waits("queue_put", "await Queue.put")
async def queue_put() -> None:
    queue: asyncio.Queue[int] = asyncio.Queue(1)
    await queue.put(1)
    soon(queue.get_nowait)
    await queue.put(2)  # waits


@waits("event", "await Queue.join")
async def queue_join() -> None:
    queue: asyncio.Queue[int] = asyncio.Queue()
    await queue.put(1)
    soon(queue.task_done)
    await queue.join()  # waits


# ------------------------------------------------------------------------------------------ threads


def until(opened: threading.Event) -> None:
    """Keep a worker thread busy until the program waits for it."""
    assert opened.wait(10)


@waits("executor", "await run_in_executor")
async def executor() -> None:
    gate = threading.Event()
    soon(gate.set)
    await asyncio.get_running_loop().run_in_executor(None, until, gate)  # waits


@waits("executor", "await run_in_executor")
async def wrap_future() -> None:
    result: concurrent.futures.Future[int] = concurrent.futures.Future()
    soon(result.set_result, 1)
    await asyncio.wrap_future(result)  # waits


@waits("thread", "await to_thread")
async def to_thread() -> None:
    gate = threading.Event()
    soon(gate.set)
    await asyncio.to_thread(until, gate)  # waits


# ------------------------------------------------------------------------------ sockets and streams


@waits("socket", "await socket recv")
async def sock_recv() -> None:
    with socket_pair() as (left, right):
        soon(right.send, b"x")
        await asyncio.get_running_loop().sock_recv(left, 1)  # waits


@waits("socket", "await socket send")
async def sock_sendall() -> None:
    with socket_pair() as (left, right):
        data = bytes(8 << 20)
        sender = asyncio.create_task(drain(right, len(data)))
        await asyncio.get_running_loop().sock_sendall(left, data)  # waits
        await sender


async def drain(sock: socket.socket, size: int) -> None:
    """Receive so many bytes."""
    while size:
        size -= len(await asyncio.get_running_loop().sock_recv(sock, 1 << 20))


@waits("socket", "await socket accept", uvloop=("socket", "await socket recv"))
async def sock_accept() -> None:
    with listener() as server:
        soon(connect, server)
        accepted, _ = await asyncio.get_running_loop().sock_accept(server)  # waits
        accepted.close()


# uvloop looks the address up first, even a numeric one.
@waits("socket", "await socket connect", uvloop=("socket", "await socket send"), among=True)
async def sock_connect() -> None:
    with listener() as server, closing(socket.socket()) as client:
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, server.getsockname())  # waits


@waits("socket", "await socket connect")
async def open_connection() -> None:
    with listener() as server:
        _, writer = await asyncio.open_connection(*server.getsockname())  # waits
        writer.close()


@waits("stream_read", "await StreamReader.read")
async def stream_read() -> None:
    with socket_pair() as (left, right):
        reader, writer = await asyncio.open_connection(sock=left)
        soon(right.send, b"line\n")
        await reader.readline()  # waits
        writer.close()


@waits("stream_drain", "await StreamWriter.drain")
async def stream_drain() -> None:
    with socket_pair() as (left, right):
        _, writer = await asyncio.open_connection(sock=left)
        writer.write(bytes(8 << 20))
        receiver = asyncio.create_task(drain(right, 8 << 20))
        await writer.drain()  # waits
        await receiver
        writer.close()


# uvloop's own coroutine, called directly, leaves nothing but a plain future to look at.
@waits("dns", "await getaddrinfo", uvloop=("future", "await Future"))
async def getaddrinfo() -> None:
    await asyncio.get_running_loop().getaddrinfo("localhost", 80)  # waits


# ---------------------------------------------------------------------------------------- processes

COMMAND: Final = ("/bin/sh", "-c", "read line")


@waits("subprocess", "await Process.wait")
async def process_wait() -> None:
    process = await asyncio.create_subprocess_exec(*COMMAND, stdin=asyncio.subprocess.PIPE)
    assert process.stdin is not None
    soon(process.stdin.write, b"\n")
    await process.wait()  # waits


@waits("subprocess", "await Process.communicate", among=True)
async def process_communicate() -> None:
    process = await asyncio.create_subprocess_exec(*COMMAND, stdin=asyncio.subprocess.PIPE)
    await process.communicate(b"\n")  # waits


@waits("subprocess", "await create_subprocess")
async def create_subprocess() -> None:
    process = await asyncio.create_subprocess_exec("/bin/true")  # waits
    await process.wait()


# -------------------------------------------------------------------------------------------- anyio


@waits("sleep", "await sleep")
async def anyio_sleep() -> None:
    with anyio.move_on_after(10):
        await anyio.sleep(SOON_S)  # waits


@waits("yield", "await sleep(0)")
async def anyio_checkpoint() -> None:
    await anyio.lowlevel.checkpoint()  # waits


async def taken(held: anyio.Lock | anyio.Semaphore | anyio.CapacityLimiter) -> None:
    """Return when somebody has it, who gives it back once the program waits."""
    acquired, waited = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with held:
            acquired.set()
            await waited.wait()

    start(hold())
    await acquired.wait()
    soon(waited.set)


@waits("lock", "await Lock.acquire")
async def anyio_lock() -> None:
    held = anyio.Lock()
    await taken(held)
    async with held:  # waits
        pass


@waits("event", "await Event.wait")
async def anyio_event() -> None:
    happened = anyio.Event()
    soon(happened.set)
    await happened.wait()  # waits


@waits("semaphore", "await Semaphore.acquire")
async def anyio_semaphore() -> None:
    seats = anyio.Semaphore(1)
    await taken(seats)
    async with seats:  # waits
        pass


@waits("semaphore", "await CapacityLimiter.acquire")
async def anyio_limiter() -> None:
    limiter = anyio.CapacityLimiter(1)
    await taken(limiter)
    async with limiter:  # waits
        pass


@waits("condition", "await Condition.wait")
async def anyio_condition() -> None:
    changed = anyio.Condition()

    async def change() -> None:
        async with changed:
            changed.notify_all()

    async with changed:
        start(change())
        await changed.wait()  # waits


@waits("queue_get", "await MemoryObjectReceiveStream.receive")
async def anyio_receive() -> None:
    send, receive = anyio.create_memory_object_stream[int](1)
    with send, receive:
        soon(send.send_nowait, 1)
        await receive.receive()  # waits


@waits("queue_put", "await MemoryObjectSendStream.send")
async def anyio_send() -> None:
    send, receive = anyio.create_memory_object_stream[int](0)
    with send, receive:
        soon(receive.receive_nowait)
        await send.send(1)  # waits


@waits("task_group", "await TaskGroup")
async def anyio_task_group() -> None:
    async with anyio.create_task_group() as group:  # waits
        group.start_soon(anyio.sleep, SOON_S)


@waits("thread", "await to_thread")
async def anyio_to_thread() -> None:
    gate = threading.Event()
    soon(gate.set)
    await anyio.to_thread.run_sync(until, gate)  # waits


@waits("socket", "await socket recv")
async def anyio_socket() -> None:
    with listener() as server:
        async with await anyio.connect_tcp(*server.getsockname()) as stream:
            accepted, _ = await asyncio.get_running_loop().sock_accept(server)
            with closing(accepted):
                soon(accepted.send, b"x")
                await stream.receive()  # waits


@waits("subprocess", "await Process.wait")
async def anyio_process() -> None:
    async with await anyio.open_process(COMMAND, stdout=None, stderr=None) as process:
        assert process.stdin is not None
        start(process.stdin.send(b"\n"))
        await process.wait()  # waits


# ------------------------------------------------------------------------------------- HTTP clients


@asynccontextmanager
async def http_server() -> AsyncIterator[tuple[str, asyncio.Event]]:
    """Serve a page; provide its address and the event that lets its last part go."""
    complete = asyncio.Event()

    async def page(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await complete.wait()
        await response.write(b"late")
        return response

    app = web.Application()
    app.router.add_get("/", page)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/", complete
    finally:
        await runner.cleanup()


@asynccontextmanager
async def aiohttp_get() -> AsyncIterator[tuple[Callable[[], Any], asyncio.Event]]:
    """Provide what gets the page over a single connection, and the event that completes it."""
    one = aiohttp.TCPConnector(limit=1)
    async with http_server() as (url, complete), aiohttp.ClientSession(connector=one) as session:
        yield lambda: session.get(url), complete


@waits("stream_read", "await DataQueue.read", among=True)
async def aiohttp_request() -> None:
    async with aiohttp_get() as (get, complete):
        complete.set()
        response = await get()  # waits
        await response.read()


@waits("stream_read", "await StreamReader.read")
async def aiohttp_read() -> None:
    async with aiohttp_get() as (get, complete), get() as response:
        soon(complete.set)
        await response.read()  # waits


@waits("semaphore", "await connection pool", among=True)
async def aiohttp_pool() -> None:
    async with aiohttp_get() as (get, complete):
        first = await get()
        start(first.read())
        soon(complete.set)
        second = await get()  # waits
        await second.read()


@waits("socket", "await socket recv", among=True)
async def httpx_request() -> None:
    async with http_server() as (url, complete), httpx.AsyncClient() as client:
        complete.set()
        await client.get(url)  # waits


@waits("semaphore", "await connection pool", among=True)
async def httpx_pool() -> None:
    one = httpx.Limits(max_connections=1)
    async with http_server() as (url, complete), httpx.AsyncClient(limits=one) as client:
        start(client.get(url))
        await asyncio.sleep(0)
        soon(complete.set)
        await client.get(url)  # waits


# ------------------------------------------------------------------------------------------- chains


@waits("sleep", "await sleep")
async def nested() -> None:
    async def inner() -> None:
        await asyncio.sleep(SOON_S)  # waits

    async def outer() -> None:
        await inner()

    await outer()


@waits("sleep", "await sleep")
async def async_generator() -> None:
    async def numbers() -> AsyncIterator[int]:
        await asyncio.sleep(SOON_S)  # waits
        yield 1

    async for _ in numbers():
        pass


@waits("sleep", "await sleep")
async def async_generators_nested() -> None:
    async def numbers() -> AsyncIterator[int]:
        await asyncio.sleep(SOON_S)  # waits
        yield 1

    async def doubled() -> AsyncIterator[int]:
        async for number in numbers():
            yield 2 * number

    async for _ in doubled():
        pass


@waits("sleep", "await sleep")
async def anext_with_default() -> None:
    async def numbers() -> AsyncIterator[int]:
        await asyncio.sleep(SOON_S)  # waits
        yield 1

    await anext(numbers(), None)


@waits("sleep", "await sleep")
async def closing_async_generator() -> None:
    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(SOON_S)  # waits

    generator: Any = numbers()
    await anext(generator)
    await generator.aclose()


@waits("sleep", "await sleep")
async def async_context_manager() -> None:
    @asynccontextmanager
    async def resource() -> AsyncIterator[None]:
        await asyncio.sleep(SOON_S)  # waits
        yield

    async with resource():
        pass


@waits("sleep", "await sleep")
async def generator() -> None:
    @types.coroutine
    def legacy() -> Generator[Any, None, None]:
        yield from asyncio.sleep(SOON_S).__await__()  # waits

    await legacy()


@waits("event", "await Event.wait")
async def awaitable_object() -> None:
    class Signal:
        def __init__(self) -> None:
            self.event = asyncio.Event()

        def __await__(self) -> Generator[Any, None, bool]:
            return (yield from self.event.wait().__await__())  # waits

    signal = Signal()
    soon(signal.event.set)
    awaitable: Awaitable[bool] = signal
    await awaitable
