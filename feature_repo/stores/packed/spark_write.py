"""The driver's part of materializing a Spark data frame: its rows stay with the executors."""

import os
import sys
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark import SparkContext, inheritable_thread_target
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame

from feature_repo.stores.errors import StoreError
from feature_repo.stores.packed.bulk import Table
from feature_repo.stores.packed.connection import ConnectionSettings
from feature_repo.stores.packed.spark_tasks import (
    COUNT_SCHEMA,
    PACKED_SCHEMA,
    PackRows,
    StoreRows,
    told_by_a_task,
    unpacked,
)

POLL_SECONDS = 0.2


def store_on_executors(
    frame: DataFrame, table: Table, settings: ConnectionSettings, batch_rows: int
) -> Generator[int, None, None]:
    """Let the executors pack the rows and store them, each task those of its partition, all tasks at once.

    What reaches the driver is one number a task.

    Args:
        frame: The table, under the names of the view; in a session that is not Spark Connect's.
        table: Its description.
        settings: Of a storage that every executor reaches.
        batch_rows: How many rows a task packs at once, at most.

    Yields:
        How many rows more are stored, as tasks end.

    Raises:
        StoreUnavailable, ValueMismatch: as a task raised them. Other tasks' rows are stored; running it again
            stores the rest.
        StoreError: Spark failed.
    """
    context = frame.sparkSession.sparkContext
    stored = context.accumulator(0)
    _use_this_python(context)
    counts = frame.mapInArrow(StoreRows(table, settings, batch_rows, stored), COUNT_SCHEMA)
    told = 0
    with ThreadPoolExecutor(1) as pool, _readable_errors(table.view):
        job = pool.submit(inheritable_thread_target(counts.collect))
        while not wait([job], POLL_SECONDS).done:
            if (now := stored.value) > told:
                yield now - told
                told = now
        yield sum(row.rows for row in job.result()) - told


def pack_on_executors(
    frame: DataFrame, table: Table, batch_rows: int
) -> Generator[tuple[list[bytes], list[bytes]], None, None]:
    """Let the executors pack the rows, and hand them to the driver a partition at a time.

    For a storage that the driver alone reaches. Spark's JVM holds one partition of packed rows at a time, Python one
    batch of them.

    Args:
        frame: As in `store_on_executors`.
        table: Its description.
        batch_rows: How many rows are packed at once, at most.

    Yields:
        Keys and rows of a batch.

    Raises:
        ValueMismatch: as a task raised it.
        StoreError: Spark failed.
    """
    _use_this_python(frame.sparkSession.sparkContext)
    packed = frame.mapInArrow(PackRows(table, batch_rows), PACKED_SCHEMA)
    with _readable_errors(table.view):
        for row in packed.toLocalIterator():
            yield unpacked(bytes(row.packed))


def _use_this_python(context: SparkContext) -> None:
    """Tasks on this machine run where the driver's packages are; Spark would take the first ``python3`` of the PATH."""
    if context.master.startswith("local") and "PYSPARK_PYTHON" not in os.environ:
        context.pythonExec = sys.executable


@contextmanager
def _readable_errors(view: str) -> Iterator[None]:
    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        told = told_by_a_task(str(error))
        if told is not None:
            raise told from None
        if isinstance(error, PySparkException):  # one that Spark itself made readable
            raise
        raise StoreError(
            f"feature view {view}: Spark failed ({_root(error.java_exception)}); run it again: what is stored stays"
        ) from error


def _root(failure: Any) -> str:
    """The first line of the innermost Java exception's text."""
    while (cause := failure.getCause()) is not None:
        failure = cause
    return str(failure.getMessage()).partition("\n")[0]
