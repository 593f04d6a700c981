"""What an offline store's retrieval job yields, as record batches in key order."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from feast.infra.offline_stores.offline_store import RetrievalJob


@dataclass(frozen=True)
class SourceBatches:
    """Record batches, and how many rows they have in all where that is known beforehand.

    The batches are to be closed: DuckDB runs no other query on the connection before.
    """

    batches: Generator[pa.RecordBatch, None, None]
    total: int | None


def source_batches(job: RetrievalJob, order: Sequence[str], rows: int) -> SourceBatches:
    """Run the job.

    A job with a method ``to_arrow_reader(batch_rows)``, as this package's own offline stores return, yields its
    batches itself, in key order. The query of Feast's DuckDB store is sorted and streamed by DuckDB, which spills
    what does not fit in memory. Other jobs know only ``to_arrow``, which holds the whole table.

    Args:
        job: of ``pull_latest_from_table_or_query``.
        order: columns to sort by. Neighbouring rows then fall into the same pages of the online store.
        rows: at most in a batch.
    """
    streamed = getattr(job, "to_arrow_reader", None)
    if streamed is not None:
        return SourceBatches(_read(streamed(rows)), None)
    query: Any = getattr(job, "table", None)
    if query is not None and _is_duckdb(query):
        connection = query.get_backend().con
        relation = connection.sql(_sql(query))
        ((total,),) = connection.sql(_sql(query.count().name("n"))).fetchall()
        ordered = relation.order(", ".join(f'"{name}"' for name in order)) if order else relation
        return SourceBatches(_read(ordered.to_arrow_reader(rows)), total)
    table = job.to_arrow()
    if order:
        table = table.sort_by([(name, "ascending") for name in order])
    return SourceBatches(_read(table.to_reader(rows)), table.num_rows)


def _read(reader: pa.RecordBatchReader) -> Generator[pa.RecordBatch, None, None]:
    with reader:
        yield from reader


def _is_duckdb(query: Any) -> bool:
    """Whether an Ibis expression reads files through DuckDB; tables in memory are known to Ibis alone."""
    import ibis  # type: ignore[import-untyped]
    from ibis.expr.operations import InMemoryTable  # type: ignore[import-untyped]

    return (
        isinstance(query, ibis.Expr)
        and query.get_backend().name == "duckdb"
        and not query.op().find(InMemoryTable)
    )


def _sql(query: Any) -> str:
    # Ibis's own `to_pyarrow_batches` calls a method that DuckDB 2 has dropped.
    import ibis

    return str(ibis.to_sql(query, dialect="duckdb"))
