"""The caller's own ids become int64 here, through the vault: the step after which a row may touch the disk."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from feature_repo.events import ID, Column, EventTable
from feature_repo.identity import Vault


@dataclass(frozen=True)
class Encoder:
    """Turns raw rows of one workspace into stored ones."""

    vault: Vault
    workspace_id: int

    def unlisted(self, kind: str, raw: pa.Array, listed: Collection[int]) -> pa.Array:
        """Whether each raw id of a kind is absent from ``listed``; booleans, null for a null. Allocates nothing."""

        def absent(values: list[str]) -> NDArray[np.bool_]:
            ids = self.vault.lookup(self.workspace_id, kind, values)
            return np.fromiter((i not in listed for i in ids.tolist()), np.bool_, len(ids))

        return _by_value(raw, absent)

    def encode(self, table: EventTable, rows: pa.RecordBatch) -> pa.Table:
        """Rows in ``table.schema``, from rows in ``raw_schema(table)`` that were found good."""
        columns = [pa.array(np.full(len(rows), self.workspace_id, np.int64)), rows["event_timestamp"]]
        columns += [self._ids(c, rows[c.name]) if c.type == ID else rows[c.name] for c in table.columns]
        return pa.Table.from_arrays(columns, schema=table.schema)

    def _ids(self, column: Column, raw: pa.Array) -> pa.Array:
        if column.identity is None:
            kind = column.name.removesuffix("_id")
            return _by_value(raw, lambda values: self.vault.pseudonyms(self.workspace_id, kind, values))
        kind = column.identity
        return _by_value(raw, lambda values: self.vault.intern(self.workspace_id, kind, values))


def _by_value(raw: pa.Array, of: Callable[[list[str]], NDArray]) -> pa.Array:
    """Apply ``of`` once to every different value; nulls stay nulls."""
    coded = pc.dictionary_encode(raw)
    return pa.array(of(coded.dictionary.to_pylist())).take(coded.indices)
