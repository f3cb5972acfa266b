"""Rerun's catalog, asked by several tasks at once: one trace, of Python and of Rust.

The client of rerun-sdk blocks, so each task hands its calls to threads. A server in this process
stands for the catalog. Three robots' recordings are made, registered, looked up and counted:

    pip install 'aperf[rerun]'  # a gigabyte
    python examples/rerun_catalog.py

prints the counts, and nothing else happens. With these variables, set before the start because
rerun reads them when it is imported, the trace goes to whatever takes OTLP/gRPC there:

    export TELEMETRY_ENABLED=true OTEL_SERVICE_NAME=survey
    export OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://127.0.0.1:4317
    python examples/rerun_catalog.py

Its root is `survey`. Below it lie aperf's tasks, awaits and jobs in threads; below the task that
calls, each `tracing_scope`, with rerun's Rust spans inside, of a service called `rerun-py`.
`tracing_scope` is rerun's own, for any Python around its client, and all that it takes:
`asyncio.to_thread` brings along which task calls, and the scope tells it to Rust.

    aperf run examples/rerun_catalog.py

shows where the time goes without sending anything ([1] is the line marked so):

    expect: coroutine survey tasks=1 errors=0
    expect: coroutine count tasks=3 errors=0 cancelled=0
    expect: wait thread count>=11
    expect: wait task_group count=1
    expect: await_site survey kind=thread at=[1]
    expect: await_site survey kind=task_group at=[2]
    expect: await_site count kind=thread at=[3]
    expect: await_site count kind=thread at=[4]
    expect: await_site count kind=thread at=[5]
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import rerun as rr
from rerun.catalog import CatalogClient
from rerun.experimental.dataloader import tracing_scope

import aperf

ROBOTS = ("arm", "drone", "rover")
STEPS = 200

# ------------------------------------------------------------------- calls of a client that blocks


def record(robot: str, path: Path) -> None:
    with rr.RecordingStream("rerun_example_survey", recording_id=robot) as recording:
        recording.save(path)
        for step in range(STEPS):
            recording.set_time("step", sequence=step)
            recording.log("joint/angle", rr.Scalars(step / STEPS))


def connect(url: str) -> CatalogClient:
    with tracing_scope("connect"):
        return CatalogClient(url)


def register(client: CatalogClient, robot: str, path: Path) -> None:
    with tracing_scope("register"):
        client.create_dataset(robot).register(path.as_uri()).wait()


def count_rows(client: CatalogClient, robot: str) -> int:
    with tracing_scope("count_rows"):
        dataset = client.get_dataset(robot)
        return dataset.filter_contents("/joint/**").reader(index="step").count()


def list_datasets(client: CatalogClient) -> list[str]:
    with tracing_scope("list_datasets"):
        return sorted(dataset.name for dataset in client.datasets())


# -------------------------------------------------------------------------------------- the program


async def count(client: CatalogClient, robot: str, path: Path) -> int:
    await asyncio.to_thread(record, robot, path)  # [3]
    await asyncio.to_thread(register, client, robot, path)  # [4]
    return await asyncio.to_thread(count_rows, client, robot)  # [5]


async def survey(url: str, directory: Path) -> None:
    client = await asyncio.to_thread(connect, url)  # [1]
    async with asyncio.TaskGroup() as group:  # [2]
        counts = [
            group.create_task(count(client, robot, directory / f"{robot}.rrd"), name=robot)
            for robot in ROBOTS
        ]
    for robot, rows in zip(ROBOTS, counts, strict=True):
        print(f"{robot:6}{rows.result():4} rows")
    print("datasets:", *await asyncio.to_thread(list_datasets, client))


if __name__ == "__main__":
    with (
        TemporaryDirectory() as directory,
        rr.server.Server(host="127.0.0.1") as server,
        tracing_scope("survey"),
        aperf.session(),
    ):
        asyncio.run(survey(server.url(), Path(directory)))
