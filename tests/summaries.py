"""Summaries as sessions might give them."""

from __future__ import annotations

import os

from aperf.model import (
    AwaitSite,
    CoroutineTotals,
    Distribution,
    ExceptionCount,
    LongStep,
    Statistics,
    Summary,
    UnfinishedTask,
    WaitKind,
    WaitTotals,
)

MS = 10**6
S = 10**9


def local(name: str) -> str:
    """Return the absolute path of a file below the working directory."""
    return os.path.join(os.getcwd(), *name.split("/"))


CRAWLER = local("examples/crawler.py")
CLIENT = "/opt/venv/lib/python3.13/site-packages/some_http_client/_transports/_connection_pool.py"
FETCH = "Crawler.crawl.<locals>.fetch_with_retries"


def coroutine(
    name: str,
    tasks: int,
    busy_ns: int,
    ready_ns: int,
    waiting_ns: int,
    *,
    errors: int = 0,
    cancelled: int = 0,
) -> CoroutineTotals:
    """Return totals of finished tasks."""
    return CoroutineTotals(
        name=name,
        file=CRAWLER,
        line=20,
        tasks=tasks,
        unfinished=0,
        errors=errors,
        cancelled=cancelled,
        steps=7 * tasks,
        busy_ns=busy_ns,
        ready_ns=ready_ns,
        waiting_ns=waiting_ns,
        lifetime=Distribution(count=tasks, total_ns=busy_ns + ready_ns + waiting_ns),
    )


def site(
    name: str,
    kind: WaitKind,
    function: str,
    line: int,
    wait: Distribution,
    file: str = CRAWLER,
) -> AwaitSite:
    """Return a place where tasks waited."""
    return AwaitSite(
        name=name,
        kind=kind,
        function=function,
        file=file,
        line=line,
        wait=wait,
        ready_ns=wait.total_ns // 100,
    )


def step(coroutine: str, task: str, function: str, line: int, duration_ns: int) -> LongStep:
    """Return a step that held up the loop."""
    return LongStep(
        coroutine=coroutine,
        task=task,
        task_id=42,
        function=function,
        file=CRAWLER,
        line=line,
        start_ns=1_700_000_000 * S,
        duration_ns=duration_ns,
    )


def unfinished(name: str, number: int, waiting_for: str, line: int, age_ns: int) -> UnfinishedTask:
    """Return a task that still lived at the end."""
    return UnfinishedTask(
        coroutine=name,
        task=f"Task-{number}",
        task_id=number,
        age_ns=age_ns,
        waiting_for=waiting_for,
        file=CRAWLER,
        line=line,
    )


def distribution(count: int, total_ns: int, p50: int, p90: int, p99: int, top: int) -> Distribution:
    """Return a distribution without the names of its fields."""
    return Distribution(
        count=count, total_ns=total_ns, p50_ns=p50, p90_ns=p90, p99_ns=p99, max_ns=top
    )


def crawler_summary() -> Summary:
    """Return what a session around a busy crawler with a few faults could find out."""
    fetch = coroutine(FETCH, 1204, 812 * MS, 95 * MS, 31 * S, errors=12, cancelled=3)
    return Summary(
        service_name="crawler",
        implementation="c",
        duration_ns=12_345 * MS,
        statistics=Statistics(
            tasks=1234,
            live_tasks=11,
            steps=58_231,
            awaits=45_678,
            spans=46_912,
            exported_spans=46_000,
        ),
        busy_ns=2_951 * MS,
        ready_ns=413 * MS,
        waiting_ns=57_830 * MS,
        by_wait_kind={
            "socket": WaitTotals(count=20_110, total_ns=31_204 * MS),
            "queue_get": WaitTotals(count=1_290, total_ns=12_100 * MS),
            "lock": WaitTotals(count=1_187, total_ns=5_511 * MS),
            "sleep": WaitTotals(count=22_031, total_ns=4_402 * MS),
            "task": WaitTotals(count=60, total_ns=3_020 * MS),
            "thread": WaitTotals(count=80, total_ns=1_250 * MS),
            "subprocess": WaitTotals(count=4, total_ns=320 * MS),
            "yield": WaitTotals(count=916, total_ns=23 * MS),
        },
        coroutines=(
            fetch,
            coroutine("Crawler.worker", 10, 1_240 * MS, 201 * MS, 20_301 * MS),
            coroutine("serve_connection", 18, 700 * MS, 99 * MS, 4_100 * MS),
            coroutine("main", 1, 2_310_000, 12_000, 12_331 * MS),
            coroutine("watchdog", 1, 180_000, 91_000, 12_200 * MS),
        ),
        await_sites=(
            site(
                "await socket recv",
                "socket",
                "ConnectionPool.handle_async_request",
                217,
                distribution(20_110, 31_204 * MS, 1_203_000, 3_900_000, 12 * MS, 402 * MS),
                CLIENT,
            ),
            site(
                "await Queue.get",
                "queue_get",
                "Crawler.worker",
                88,
                distribution(1290, 12_100 * MS, 8_400_000, 21 * MS, 98_200_000, 1_204 * MS),
            ),
            site(
                "await Lock.acquire",
                "lock",
                FETCH,
                61,
                distribution(1187, 5_511 * MS, 4_120_000, 7 * MS, 19_800_000, 22_100_000),
            ),
            site(
                "await sleep",
                "sleep",
                "watchdog",
                131,
                distribution(22_031, 4_402 * MS, 199_000, 210_000, 244_000, 1_310_000),
            ),
            site(
                "await Task",
                "task",
                "main",
                160,
                distribution(60, 3_020 * MS, 48 * MS, 61 * MS, 105 * MS, 112 * MS),
            ),
            site(
                "await to_thread",
                "thread",
                "Crawler.parse",
                95,
                distribution(80, 1_250 * MS, 15 * MS, 18 * MS, 29 * MS, 29 * MS),
            ),
        ),
        longest_steps=(
            step("Crawler.worker", "worker-3", "Crawler.parse", 93, 512 * MS),
            step("main", "Task-1", "main", 150, 34_200_000),
            step("serve_connection", "", "serve_connection", 33, 4_120_000),
            step("main", "Task-1", "main", 140, 61_000),
        ),
        unfinished=(
            *(unfinished("Crawler.worker", n, "await Queue.get", 88, 12 * S) for n in range(3, 13)),
            unfinished("watchdog", 13, "await sleep", 131, 12_240 * MS),
        ),
        exceptions=(
            ExceptionCount(
                type="TimeoutError", coroutine="Crawler.crawl.<locals>.fetch", count=9, message=""
            ),
            ExceptionCount(
                type="ValueError",
                coroutine="Crawler.worker",
                count=12,
                message="not a URL: 'htp://example.org/a/long/path/that/never/ends'\n(row 7)",
            ),
        ),
    )


def losses() -> Statistics:
    """Return counters of a session in which everything was lost that can be."""
    return Statistics(
        tasks=10,
        awaits=20,
        dropped_records=12_345,
        dropped_spans=678,
        export_failures=2,
        internal_errors=1,
        dropped_logs=3,
    )
