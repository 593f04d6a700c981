"""Feature columns packed for a shuffle: a run of one type is one array.

A Spark row takes eight bytes a column, and an array as many as its elements need: ten float32 features are 56 bytes
instead of 88. Comparing packed columns is comparing the columns one after the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

_PACKED = (T.NumericType, T.BooleanType, T.DateType, T.TimestampType, T.TimestampNTZType)


@dataclass(frozen=True)
class _Pack:
    name: str
    columns: tuple[str, ...]
    type: T.DataType

    def column(self) -> Column:
        if len(self.columns) > 1:
            return F.array(*self.columns).alias(self.name)
        # A map has no order, its entries have one.
        column = F.col(self.columns[0])
        return (F.map_entries(column) if isinstance(self.type, T.MapType) else column).alias(self.name)


@dataclass(frozen=True)
class PackedColumns:
    """Columns in their order, cut into packs.

    Args:
        packs: Of one column, or of a run of columns of the same small type.
    """

    packs: tuple[_Pack, ...]

    @classmethod
    def of(cls, schema: T.StructType, columns: Sequence[str], prefix: str = "pack_") -> "PackedColumns":
        """Pack columns of the schema; the packs are named by a prefix and their number."""
        packs: list[_Pack] = []
        for held, run in groupby(columns, key=lambda name: schema[name].dataType):
            names = tuple(run)
            parts = [names] if isinstance(held, _PACKED) else [(name,) for name in names]
            packs += [_Pack(f"{prefix}{len(packs) + n}", part, held) for n, part in enumerate(parts)]
        return cls(tuple(packs))

    def holding(self, columns: Sequence[str]) -> list[str]:
        """The names of the packs that have some of the columns."""
        return [pack.name for pack in self.packs if not set(columns).isdisjoint(pack.columns)]

    def columns(self) -> list[Column]:
        """The packs, to be selected from a frame that has the columns."""
        return [pack.column() for pack in self.packs]

    def value(self, column: str) -> Column:
        """The column, to be selected from a frame that has the packs; null where its pack is."""
        pack = next(p for p in self.packs if column in p.columns)
        if len(pack.columns) > 1:
            return F.get(pack.name, F.lit(pack.columns.index(column)))
        return F.map_from_entries(pack.name) if isinstance(pack.type, T.MapType) else F.col(pack.name)
