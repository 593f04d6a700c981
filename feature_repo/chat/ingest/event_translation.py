"""Columns of an export become ours, by DuckDB, a batch at a time. Whatever the type, one rule per kind of column."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo.chat.ingest.event_files import FileBatch
from feature_repo.chat.ingest.event_mapping import Default, EventMapping, Source, source_of
from feature_repo.chat.ingest.ids import scoped_sql
from feature_repo.errors import RecommendError
from feature_repo.events import ID, TIMESTAMP, EventTable
from feature_repo.ingest import raw_schema

_KINDS = {ID: "ids", TIMESTAMP: "time stamps", pa.bool_(): "true or false"}


def connect() -> duckdb.DuckDBPyConnection:
    """A DuckDB that never writes to disk: what it holds are raw rows."""
    connection = duckdb.connect(":memory:", config={"temp_directory": "", "threads": 2})
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")  # it would write to stdout, terminal or not
    return connection


@dataclass
class _Tally:
    """How the cells of one column of one file could be read."""

    good: int = 0
    bad: int = 0
    first_bad: int = 0


@dataclass
class Translator:
    """Translates the batches of one file.

    Args:
        table: The event table that the file is for.
        mapping: Where our columns are read from.
        label: What an error calls the file.
        position: The file's, as in ``rows.Where``.
        connection: From ``connect``.
    """

    table: EventTable
    mapping: EventMapping
    label: str
    position: int
    connection: duckdb.DuckDBPyConnection
    _tallies: dict[str, _Tally] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._ours = [f for f in self.table.schema if f.name != "workspace_id"]

    def translate(self, batch: FileBatch) -> pa.RecordBatch:
        """The batch's rows in ``raw_schema(table)``; a cell that cannot be read is its row's reason.

        Numbers in a time stamp's column are seconds since 1970. Text is taken for what it says, so that a
        CSV file needs no types.
        """
        self.connection.register("arriving", pa.Table.from_batches([batch.columns]))
        translated = self.connection.sql(self._query(batch.columns.schema)).to_arrow_table().combine_chunks()
        self.connection.unregister("arriving")
        reasons = batch.reasons
        for name, kind in self._kinds().items():
            state = translated[f"state_{name}"].combine_chunks().to_numpy()
            self._tally(name, state, batch.lines)
            bad = pa.array(state < 0)
            reasons = pc.coalesce(
                reasons, pc.if_else(bad, f"{name} does not hold {kind}", pa.scalar(None, pa.string()))
            )
        rows = len(batch.lines)
        provenance = [pa.array(np.full(rows, self.position), pa.int32()), pa.nulls(rows, pa.date32())]
        columns = [translated[f.name].combine_chunks() for f in self._ours]
        return pa.RecordBatch.from_arrays(
            [*columns, *provenance, pa.array(batch.lines), reasons], schema=raw_schema(self.table)
        )

    def check(self) -> None:
        """Call it at the end of the file.

        Raises:
            RecommendError: of a column that has values, not one could be read: it has the wrong type.
        """
        for name, tally in self._tallies.items():
            if tally.bad and not tally.good:
                wanted = " or ".join(_candidates(source_of(self.mapping, self.table, name)))
                raise RecommendError(
                    f"{self.label}: column {wanted} does not hold {self._kinds()[name]} (first bad row: "
                    f"{tally.first_bad}): mend the column, or name another in mapping.toml"
                )

    def _kinds(self) -> dict[str, str]:
        return {f.name: _KINDS.get(f.type, "whole numbers") for f in self._ours}

    def _tally(self, name: str, state: np.ndarray, lines: np.ndarray) -> None:
        tally = self._tallies.setdefault(name, _Tally())
        bad = state < 0
        if not tally.bad and bad.any():
            tally.first_bad = int(lines[bad.argmax()])
        tally.bad += int(bad.sum())
        tally.good += int((state > 0).sum())

    def _query(self, schema: pa.Schema) -> str:
        cells: list[str] = []
        values: list[str] = []
        for column in self._ours:
            source = source_of(self.mapping, self.table, column.name)
            found = next((n for n in _candidates(source) if n in schema.names), None)
            if found is None and source.default is None and not column.nullable:
                raise RecommendError(
                    f"{self.label} has no column {' or '.join(_candidates(source))}: "
                    f"add it, or name the column for {column.name} in mapping.toml"
                )
            found_type = pa.null() if found is None else schema.field(found).type
            cells += _cell(column, found, found_type, is_flag=found in source.flag)
            values += _value(column, source)
        return f"SELECT {', '.join(values)} FROM (SELECT {', '.join(cells)} FROM arriving)"


def _candidates(source: Source) -> tuple[str, ...]:
    return source.columns + source.flag


def _cell(column: pa.Field, found: str | None, found_type: pa.DataType, *, is_flag: bool) -> Iterator[str]:
    """The value as read (null where it is empty or cannot be), and whether it is there: -1 bad, 0 empty, 1 good."""
    name = column.name
    if found is None or pa.types.is_null(found_type):
        yield f"NULL::{_sql_type(column.type)} AS {name}"
        yield f"0::TINYINT AS state_{name}"
        return
    quoted = '"' + found.replace('"', '""') + '"'
    if _is_text(found_type):
        present = f"nullif({quoted}, '')"
    else:
        present = f"nullif({quoted}, 'NaN')" if pa.types.is_floating(found_type) else quoted
    if is_flag:
        value = f"TRY_CAST(({_read(present, pa.bool_(), found_type)}) AS {_sql_type(column.type)})"
    else:
        value = _read(present, column.type, found_type)
    yield f"{value} AS {name}"
    yield f"CASE WHEN {present} IS NULL THEN 0 WHEN {value} IS NULL THEN -1 ELSE 1 END::TINYINT AS state_{name}"


def _read(cell: str, ours: pa.DataType, theirs: pa.DataType) -> str:
    target = _sql_type(ours)
    if pa.types.is_nested(theirs) or pa.types.is_binary(theirs) or pa.types.is_large_binary(theirs):
        return f"NULL::{target}"
    numeric = pa.types.is_integer(theirs) or pa.types.is_floating(theirs) or pa.types.is_decimal(theirs)
    if ours == ID:
        if pa.types.is_boolean(theirs) or pa.types.is_temporal(theirs):
            return "NULL::VARCHAR"
        # Whole numbers that went through a float column (pandas makes one where a value is missing): 12.0 is 12.
        plain = f"{cell}::VARCHAR"
        return plain if pa.types.is_integer(theirs) else rf"regexp_replace({plain}, '^(-?[0-9]+)\.0$', '\1')"
    if ours == TIMESTAMP:
        if numeric:
            return f"TRY(to_timestamp({cell}::DOUBLE))"
        if pa.types.is_timestamp(theirs) or pa.types.is_date(theirs):
            return f"TRY_CAST({cell} AS TIMESTAMPTZ)"
        return f"coalesce(TRY(to_timestamp(TRY_CAST({cell}::VARCHAR AS DOUBLE))), TRY_CAST({cell}::VARCHAR AS TIMESTAMPTZ))"
    if pa.types.is_temporal(theirs) or (pa.types.is_boolean(theirs) and ours != pa.bool_()):
        return f"NULL::{target}"
    return f"TRY_CAST({cell} AS {target})"


def _value(column: pa.Field, source: Source) -> Iterator[str]:
    value = column.name if source.within is None else scoped_sql(source.within, column.name)
    if source.default is not None:
        value = (
            f"CASE WHEN state_{column.name} = 0 THEN {_literal(source.default, column.type)} ELSE {value} END"
        )
    yield f"{value} AS {column.name}"
    yield f"state_{column.name}"


def _literal(value: Default, ours: pa.DataType) -> str:
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    return "CAST('" + text.replace("'", "''") + f"' AS {_sql_type(ours)})"


def _sql_type(ours: pa.DataType) -> str:
    if ours == ID:
        return "VARCHAR"
    if ours == TIMESTAMP:
        return "TIMESTAMPTZ"
    return {pa.bool_(): "BOOLEAN", pa.int8(): "TINYINT", pa.int16(): "SMALLINT", pa.int32(): "INTEGER"}[ours]


def _is_text(theirs: pa.DataType) -> bool:
    value = theirs.value_type if pa.types.is_dictionary(theirs) else theirs
    return bool(pa.types.is_string(value) or pa.types.is_large_string(value))
