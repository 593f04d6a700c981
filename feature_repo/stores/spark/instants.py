"""Instants in Spark's columns, exact in any time zone of the session."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from feature_repo.stores.period import MICROSECOND

_DAY = timedelta(days=1) // MICROSECOND


def microseconds(frame: DataFrame, column: str) -> Column:
    """Bigint microseconds since 1970 of a timestamp or a date. Without a time zone it is UTC.

    Raises:
        TypeError: the column holds something else.
    """
    held = frame.schema[column].dataType
    match held:
        case T.TimestampType():
            return F.unix_micros(column)
        case T.TimestampNTZType():
            if frame.sparkSession.conf.get("spark.sql.session.timeZone") == "UTC":
                return F.unix_micros(F.col(column).cast("timestamp"))
            # A cast would read it in the session's time zone, which skips and repeats hours.
            parts = (F.year, F.month, F.dayofmonth, F.hour, F.minute)
            second = F.extract(F.lit("SECOND"), F.col(column))
            return F.unix_micros(F.make_timestamp(*(part(column) for part in parts), second, F.lit("UTC")))
        case T.DateType():
            return F.unix_date(column) * F.lit(_DAY)
    raise TypeError(
        f"column {column!r} is {held.simpleString()}, not timestamps; cast it in the source's query"
    )


def in_microseconds(table: pa.Table) -> pa.Table:
    """The table with its timestamps rounded down to microseconds, Spark's unit."""
    for number, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns":
            column = pc.floor_temporal(table.column(number), unit="microsecond")
            table = table.set_column(number, field.name, column.cast(pa.timestamp("us", field.type.tz)))
    return table


def pruned(frame: DataFrame, column: str, first: datetime | None, last: datetime | None) -> DataFrame:
    """Without rows before ``first`` or after ``last``; ``None`` is open, and naive ones are UTC.

    The bare column is compared, so that Parquet's statistics can skip what is outside. Of a column of dates, the
    whole first day stays.
    """
    kept = frame
    for bound, keep in ((first, Column.__ge__), (last, Column.__le__)):
        if bound is not None:
            kept = kept.where(keep(F.col(column), _literal(bound, frame.schema[column].dataType)))
    return kept


def utc(instant: datetime) -> datetime:
    """The same in UTC; one without a time zone is UTC already."""
    return instant.replace(tzinfo=instant.tzinfo or UTC).astimezone(UTC)


def _literal(instant: datetime, held: T.DataType) -> Column:
    at = utc(instant)
    match held:
        case T.DateType():
            return F.lit(at.date())
        case T.TimestampNTZType():
            return F.lit(at.replace(tzinfo=None).isoformat(sep=" ")).cast("timestamp_ntz")
    return F.lit(at.isoformat(sep=" ")).cast("timestamp")
