"""What an event table is: typed columns, int64 ids, one folder per day. Domain-free.

The platform's own two tables, impressions and outcomes, are declared here; a domain declares the rest.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from feature_repo.home import events_path, log_path

TIMESTAMP = pa.timestamp("us", tz="UTC")
ID = pa.int64()


@dataclass(frozen=True)
class Column:
    """One column of an event table.

    Args:
        name: The column's name.
        type: Its Arrow type; ids are int64.
        description: What a value means, with its unit.
        optional: Whether a null is allowed (and the whole column may be missing in an export).
        identity: For an id that the vault can turn back into the caller's own string, the kind it is
            interned under (``"user"``). An int64 id without a kind is a keyed hash: it never comes back.
    """

    name: str
    type: pa.DataType
    description: str
    optional: bool = False
    identity: str | None = None


@dataclass(frozen=True)
class EventTable:
    """An append-only table of what happened.

    Args:
        name: Its name, and that of its folder.
        columns: Without ``workspace_id`` and ``event_timestamp``, which every event table has.
        key: The columns by which two rows are the same event; a second one is a duplicate.
        optional: Whether an export may come without this table.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    optional: bool = True

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema as stored: ``workspace_id`` int64, ``event_timestamp`` UTC µs, then the columns."""
        return pa.schema(
            [
                pa.field("workspace_id", ID, nullable=False),
                pa.field("event_timestamp", TIMESTAMP, nullable=False),
                *(pa.field(c.name, c.type, nullable=c.optional) for c in self.columns),
            ]
        )


def _sql_type(data_type: pa.DataType) -> str:
    empty = duckdb.from_arrow(pa.table({"c": pa.array([], data_type)}))
    return str(empty.types[0])


def scan_sql(table: EventTable, root: Path) -> str:
    """A DuckDB query over the table's files under ``root``; no rows, rightly typed, where there are none."""
    columns = ", ".join(f"{f.name}::{_sql_type(f.type)} AS {f.name}" for f in table.schema)
    if any((root / table.name).glob("day=*/*.parquet")):
        pattern = str(root / table.name / "day=*" / "*.parquet").replace("'", "''")
        return f"SELECT {columns} FROM read_parquet('{pattern}', hive_partitioning = false, union_by_name = true)"
    nulls = ", ".join(f"NULL::{_sql_type(f.type)} AS {f.name}" for f in table.schema)
    return f"SELECT {nulls} WHERE false"


def register(
    connection: duckdb.DuckDBPyConnection, tables: Iterable[EventTable], as_of: datetime | None = None
) -> None:
    """Make each table a view of its own name, so that a recommender's SQL can say ``FROM messages``.

    With ``as_of``, the views hold nothing later than that instant.
    """
    connection.execute("SET TimeZone = 'UTC'")
    known = f" WHERE event_timestamp <= TIMESTAMPTZ '{as_of.isoformat()}'" if as_of else ""
    for table in tables:
        root = log_path() if table in PLATFORM_TABLES else events_path()
        connection.execute(
            f"CREATE OR REPLACE VIEW {table.name} AS SELECT * FROM ({scan_sql(table, root)}){known}"
        )


IMPRESSIONS = EventTable(
    name="impressions",
    columns=(
        Column("request_id", ID, "the answer that the item was part of"),
        Column("recommender", pa.string(), "the recommender's name"),
        Column(
            "model_version",
            pa.string(),
            "version of the bundle that scored it; declared for a heuristic without one",
        ),
        Column("rung", pa.string(), "what ranked it: a ranker's name, or popularity"),
        Column("variant", pa.string(), "experiment arm; champion outside an experiment"),
        Column("feature_service_hash", pa.string(), "which definition the features were served under"),
        Column("declaration_hash", pa.string(), "which declaration of the recommender shaped the answer"),
        Column("software", pa.string(), "version of this software"),
        Column("query_id", ID, "who asked"),
        Column("candidate_id", ID, "what was shown"),
        Column("position", pa.int16(), "1 is the top; goes on over the pages"),
        Column("score", pa.float32(), "the ranker's score"),
        Column("propensity", pa.float32(), "probability of this item at this position under the policy"),
        Column("sources", pa.list_(pa.string()), "the candidate sources that named it"),
        Column(
            "features", pa.list_(pa.float32()), "the served values in the bundle's order; NaN where missing"
        ),
        Column("context", pa.string(), "request-time values, as JSON", optional=True),
        Column(
            "request",
            pa.string(),
            "what else shaped the answer, as JSON: limit, filter, boost, diversity, caps, ids offered, excluded and shown on "
            "pages before, warnings",
            optional=True,
        ),
        Column("degraded", pa.bool_(), "whether a part behind was down"),
    ),
    key=("request_id", "position"),
)

SHADOWS = EventTable(
    name="shadows",
    columns=(
        Column("request_id", ID, "the answer in whose place it would have been shown"),
        Column("recommender", pa.string(), "the recommender's name"),
        Column("model_version", pa.string(), "version of the shadow's bundle"),
        Column("rung", pa.string(), "the shadow's ranker"),
        Column("variant", pa.string(), "the shadow's arm of the experiment"),
        Column("query_id", ID, "who asked"),
        Column("candidate_id", ID, "what the shadow would have shown"),
        Column("position", pa.int16(), "1 is the top; goes on over the pages"),
        Column("score", pa.float32(), "the shadow's score"),
    ),
    key=("request_id", "variant", "position"),
)

OUTCOMES = EventTable(
    name="outcomes",
    columns=(
        Column("event_id", ID, "keyed hash of the caller's event id; a repeat is a duplicate"),
        Column("request_id", ID, "the answer it belongs to"),
        Column("recommender", pa.string(), "the recommender's name"),
        Column("candidate_id", ID, "the item acted on"),
        Column("outcome", pa.string(), "what was done, e.g. join"),
    ),
    key=("event_id",),
)

UNATTRIBUTED_OUTCOMES = EventTable(
    name="unattributed_outcomes",
    columns=(
        Column("event_id", ID, "keyed hash of the caller's event id; a repeat is a duplicate"),
        Column("request_id", ID, "the answer that it names"),
        Column("recommender", pa.string(), "the recommender's name, where one here answered", optional=True),
        Column("candidate_id", ID, "the item acted on, where its recommender is known", optional=True),
        Column("outcome", pa.string(), "what was done, e.g. join"),
        Column(
            "reason",
            pa.string(),
            "why it belongs to no impression: unknown_request, or late (after the recommender's window)",
        ),
    ),
    key=("event_id",),
)

PLATFORM_TABLES = (IMPRESSIONS, SHADOWS, OUTCOMES, UNATTRIBUTED_OUTCOMES)
