"""A feature service for one query and N candidates as one float32 matrix, straight from packed rows."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from feast import FeatureStore
from feast.infra.online_stores.helpers import get_online_store_from_config
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import RepoConfig
from numpy.typing import NDArray

from feature_repo.stores.errors import StoreError, UnknownName, UnsupportedType
from feature_repo.stores.packed.decoding import RowCounts, fill, is_intact, is_timely
from feature_repo.stores.packed.keys import integer_keys
from feature_repo.stores.packed.matrix_plan import ViewPlan, plan_service, plan_view
from feature_repo.stores.packed.online_store import PackedOnlineStore
from feature_repo.stores.packed.packing import microseconds

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FeatureMatrix:
    """What `MatrixReader.read` returns.

    Attributes:
        values: float32 ``[candidates, features]``, C-contiguous, in the order of the candidates and of ``names``;
            NaN where a value is null, or its row is missing, expired, not yet known, or damaged.
        names: ``view__field``, in the order of the service: view by view, field by field.
        counts: what became of the rows, by view.
    """

    values: NDArray[np.float32]
    names: tuple[str, ...]
    counts: Mapping[str, RowCounts]


class MatrixReader:
    """Reads one feature service from a `PackedOnlineStore`. Threads may share it.

    The definitions are read once, when it is made: make it anew after ``feast apply``.
    """

    def __init__(self, config: RepoConfig, registry: BaseRegistry, service: str) -> None:
        """Work out what the service asks.

        Raises:
            UnknownName: there is no such service.
            UnsupportedType: a feature is not a number, or a join key not an integer.
            StoreError: the online store is another.
        """
        store = get_online_store_from_config(config.online_store)
        if not isinstance(store, PackedOnlineStore):
            raise StoreError(
                f"the online store is {config.online_store.type}; a matrix is read from a PackedOnlineStore"
            )
        self._registry, self._project = registry, config.project
        self._backend, self._layouts = store.backend(config), store.layouts(config)
        self._plans = plan_service(registry, config.project, service)
        self._lists: dict[tuple[str, tuple[str, ...]], ViewPlan] = {}
        self.names = tuple(f"{p.name}__{p.layout.columns[i].name}" for p in self._plans for i in p.columns)

    @classmethod
    def of_store(cls, store: FeatureStore, service: str) -> "MatrixReader":
        """The same from a Feast store."""
        return cls(store.config, store.registry, service)

    def read(
        self, query: Mapping[str, int], candidates: NDArray[np.int64], candidate_key: str, as_of: datetime
    ) -> FeatureMatrix:
        """The features of every candidate.

        Args:
            query: the keys that all candidates share, e.g. ``{"user_id": 7}``.
            candidates: int64 ``[N]``.
            candidate_key: the key that they are, e.g. ``"channel_id"``.
            as_of: the instant of the read; naive is UTC. Rows older than their view's ttl then, or dated after it,
                are left out, as in the offline join.

        Raises:
            UnknownName: a view has a join key that is neither in ``query`` nor the candidates'.
            StoreUnavailable: the storage cannot be reached.
        """
        given = {key: np.array([value], np.int64) for key, value in query.items()}
        given[candidate_key] = np.ascontiguousarray(candidates, np.int64)
        keys = [_keys(plan, given) for plan in self._plans]
        rows = self._backend.read([key for some in keys for key in some])
        values = np.empty((len(candidates), len(self.names)), np.float32)
        counts: dict[str, RowCounts] = {}
        instant, begin, column = microseconds(as_of), 0, 0
        for plan, some in zip(self._plans, keys, strict=True):
            own = rows[begin : begin + len(some)]
            target = values[:, column : column + len(plan.columns)]
            if candidate_key in plan.request_keys:
                counts[plan.name] = fill(target, plan, own, instant, self._layouts)
            else:
                shared = np.empty((1, len(plan.columns)), np.float32)
                counts[plan.name] = fill(shared, plan, own, instant, self._layouts)
                target[:] = shared
            begin, column = begin + len(some), column + len(plan.columns)
        _warn(counts)
        return FeatureMatrix(values, self.names, counts)

    def lists(
        self, view: str, columns: Sequence[str], key: Mapping[str, int], as_of: datetime
    ) -> dict[str, NDArray[np.int64] | None]:
        """Columns of type Array(Int64) of one key; None where null, missing, expired, not yet known, or damaged.

        The view need not belong to the service.

        Raises:
            UnknownName: no such view, column or key.
            UnsupportedType: a column is not of type Array(Int64).
            StoreUnavailable: the storage cannot be reached.
        """
        plan = self._list_plan(view, tuple(columns))
        (row,) = self._backend.read(_keys(plan, {k: np.array([v], np.int64) for k, v in key.items()}))
        absent: dict[str, NDArray[np.int64] | None] = dict.fromkeys(columns)
        if row is None:
            return absent
        head = int.from_bytes(row[:8], "little")
        layout = plan.layout if head == plan.layout.head else self._layouts.find(head)
        if layout is None or not is_intact(layout, row):
            _log.warning("feature view %s: a stored row is damaged; materialize the view again", view)
            return absent
        fixed = np.frombuffer(row, layout.dtype, 1)[0]
        if not is_timely(int(fixed["event"]), plan.ttl, microseconds(as_of)):
            return absent
        ends = [0, *fixed["ends"].tolist()]
        for column in (plan.layout.columns[i] for i in plan.columns):
            i = layout.positions.get(column.name)
            if i is None or layout.columns[i] != column or fixed["nulls"][i // 8] >> (i % 8) & 1:
                continue
            at = layout.variable.index(i)
            begin, end = layout.dtype.itemsize + ends[at], layout.dtype.itemsize + ends[at + 1]
            absent[column.name] = np.frombuffer(row[begin:end], "<i8")
        return absent

    def _list_plan(self, view: str, columns: tuple[str, ...]) -> ViewPlan:
        asked = (view, columns)
        if asked not in self._lists:
            plan = plan_view(self._registry, self._project, view, columns)
            for column in (plan.layout.columns[i] for i in plan.columns):
                if column.type != "INT64_LIST":
                    raise UnsupportedType(
                        f"feature view {view}: {column.name} is {column.type}, not INT64_LIST"
                    )
            self._lists[asked] = plan
        return self._lists[asked]


def _keys(plan: ViewPlan, given: Mapping[str, NDArray[np.int64]]) -> list[bytes]:
    unknown = [key for key in plan.request_keys if key not in given]
    if unknown:
        raise UnknownName(
            f"feature view {plan.name} needs the key {', '.join(unknown)}; the request has {', '.join(given)}"
        )
    if not plan.request_keys:
        return [plan.prefix]
    return integer_keys(plan.prefix, plan.key_fields, [given[key] for key in plan.request_keys])


def _warn(counts: Mapping[str, RowCounts]) -> None:
    for view, count in counts.items():
        if count.corrupt:
            _log.warning(
                "feature view %s: %d stored rows are damaged; materialize it again", view, count.corrupt
            )
