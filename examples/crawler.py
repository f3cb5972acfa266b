"""A crawler and the web site it crawls. Shows most of the ways in which a task can wait.

An aiohttp server on a free port serves sixty pages that link to each other. Four workers share a
queue of addresses: each fetches a page with httpx, looks for links in a thread, and stores the
page in an archive that admits one writer at a time. One address never answers: it is given up
after a second. When everything has been visited the idle workers are cancelled, and a child
process adds up what was found.

    aperf run examples/crawler.py

The summary tells where the time went: the workers spend most of it in line for the archive's
lock, because its holder awaits a slow disk. It must show at least this ([1] is the line marked
so):

    expect: wait lock count>=50
    expect: wait thread count>=50
    expect: wait queue_get count>=4
    expect: wait socket count>=50
    expect: wait stream_read count>=1
    expect: wait subprocess count>=1
    expect: coroutine main tasks=1 cancelled=0
    expect: coroutine Crawler.work tasks=4 cancelled=4 errors=0
    expect: await_site Crawler.work kind=queue_get at=[1]
    expect: await_site Crawler.visit kind=socket at=[2]
    expect: await_site Crawler.visit kind=thread at=[3]
    expect: await_site Archive.store kind=lock at=[4]
    expect: await_site Archive.store kind=sleep at=[5]
    expect: await_site checksum kind=stream_read at=[6]
    expect: await_site checksum kind=subprocess at=[7]
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import httpx
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PAGES = 60
WORKERS = 4
PATIENCE_S = 1.0
DISK_S = 0.02

# ----------------------------------------------------------------------------------------- the site


async def page(request: web.Request) -> web.Response:
    number = int(request.match_info["number"])
    await asyncio.sleep(0.005)  # a look into the database
    links = [f"/page/{n}" for n in (2 * number + 1, 2 * number + 2) if n < PAGES]
    if number == 3:
        links.append("/tarpit")
    anchors = "".join(f'<a href="{link}">{link}</a>' for link in links)
    return web.Response(text=f"<h1>Page {number}</h1>{anchors}", content_type="text/html")


async def tarpit(request: web.Request) -> web.Response:
    await asyncio.Event().wait()
    raise AssertionError("nobody sets the event")


@contextlib.asynccontextmanager
async def site() -> AsyncIterator[str]:
    app = web.Application()
    app.add_routes([web.get("/page/{number}", page), web.get("/tarpit", tarpit)])
    # Without handler_cancellation the tarpit would hold up the shutdown.
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


# -------------------------------------------------------------------------------------- the crawler


class LinkFinder(HTMLParser):
    """Collects the links of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take the target of an <a>."""
        if tag == "a":
            self.links += [value for name, value in attrs if name == "href" and value]


def find_links(html: str) -> list[str]:
    finder = LinkFinder()
    finder.feed(html)
    return finder.links


class Archive:
    """Stores pages, one at a time."""

    def __init__(self) -> None:
        self.pages: dict[str, str] = {}
        self._lock = asyncio.Lock()

    async def store(self, path: str, html: str) -> None:
        """Write a page to a slow disk, holding the lock all the while."""
        async with self._lock:  # [4]
            await asyncio.sleep(DISK_S)  # [5]
            self.pages[path] = html


class Crawler:
    """Visits each address once."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.archive = Archive()
        self.given_up: list[str] = []
        self._client = client
        self._seen: set[str] = set()
        self._queue: asyncio.Queue[str] = asyncio.Queue()

    def add(self, path: str) -> None:
        """Put an address on the list unless it was there before."""
        if path not in self._seen:
            self._seen.add(path)
            self._queue.put_nowait(path)

    async def work(self) -> None:
        """Visit what comes, until cancelled."""
        while True:
            path = await self._queue.get()  # [1]
            try:
                await self.visit(path)
            finally:
                self._queue.task_done()

    async def visit(self, path: str) -> None:
        """Fetch a page, follow its links, store it."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                response = await self._client.get(path)  # [2]
        except TimeoutError:
            self.given_up.append(path)
            return
        for link in await asyncio.to_thread(find_links, response.text):  # [3]
            self.add(link)
        await self.archive.store(path, response.text)

    async def crawl(self, start: str) -> None:
        """Let the workers visit everything that can be reached from an address."""
        self.add(start)
        workers = [asyncio.create_task(self.work(), name=f"worker {n}") for n in range(WORKERS)]
        await self._queue.join()
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


# -------------------------------------------------------------------------------- the child process

CHILD = """
import hashlib, sys, time
print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest()[:16], flush=True)
time.sleep(0.1)  # tidies up
"""


async def checksum(text: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, stdin=PIPE, stdout=PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(text.encode())
    process.stdin.close()
    digest = await process.stdout.readline()  # [6]
    await process.wait()  # [7]
    return digest.decode().strip()


async def main() -> None:
    # verify=False: nothing here is encrypted, and loading certificates takes a while.
    async with site() as url, httpx.AsyncClient(base_url=url, verify=False) as client:
        crawler = Crawler(client)
        await crawler.crawl("/page/0")
    pages = crawler.archive.pages
    print(f"stored {len(pages)} pages, gave up {', '.join(crawler.given_up)}")
    print("checksum", await checksum("".join(pages[path] for path in sorted(pages))))


if __name__ == "__main__":
    asyncio.run(main())
