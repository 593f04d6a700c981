"""What a feature service asks of the packed store, worked out once: views, columns, keys."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from feast import FeatureView
from feast.entity import Entity
from feast.infra.registry.base_registry import BaseRegistry
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.value_type import ValueType

from feature_repo.stores.errors import UnknownName, UnsupportedType
from feature_repo.stores.packed.keys import NO_ENTITY, encoded_value, row_prefix
from feature_repo.stores.packed.layout import Form, Layout, layout_of

_INTEGERS = {"INT64": "int64_val", "INT32": "int32_val", "UNIX_TIMESTAMP": "unix_timestamp_val"}


@dataclass(frozen=True)
class ViewPlan:
    """One view as it is read.

    Attributes:
        name: what the view is called in the service: its alias, if it has one.
        prefix: what its rows' keys begin with.
        layout: the layout that it has now.
        columns: positions in the layout of what is asked for, in the order asked.
        request_keys: per join key, in sorted order of their names, the key of the request that it is taken from.
        key_fields: per join key, its field in Feast's ``Value``.
        ttl: microseconds, 0 for none.
    """

    name: str
    prefix: bytes
    layout: Layout
    columns: tuple[int, ...]
    request_keys: tuple[str, ...]
    key_fields: tuple[str, ...]
    ttl: int


def plan_service(registry: BaseRegistry, project: str, service: str) -> list[ViewPlan]:
    """The views of a feature service, in its order.

    Raises:
        UnknownName: no such service, or it names a view that is gone.
        UnsupportedType: a feature is not a number, a join key not an integer, or a view is computed on demand.
    """
    known = {s.name: s for s in registry.list_feature_services(project)}
    if service not in known:
        raise UnknownName(
            f"there is no feature service {service}; known: {', '.join(sorted(known)) or 'none'}"
        )
    plans = []
    for projection in known[service].feature_view_projections:
        view = _view(registry, project, projection.name)
        features = [feature.name for feature in projection.features]
        plans.append(
            _plan(registry, project, view, projection.name_to_use(), features, projection.join_key_map or {})
        )
    for plan in plans:
        _require_numbers(plan)
    return plans


def plan_view(registry: BaseRegistry, project: str, view: str, features: Sequence[str]) -> ViewPlan:
    """One view by its name. Raises as `plan_service`, but takes features of every type."""
    return _plan(registry, project, _view(registry, project, view), view, features, {})


def _view(registry: BaseRegistry, project: str, name: str) -> Any:
    known = {v.name: v for v in registry.list_all_feature_views(project)}
    if name not in known:
        raise UnknownName(f"there is no feature view {name}; known: {', '.join(sorted(known)) or 'none'}")
    if isinstance(known[name], OnDemandFeatureView):
        raise UnsupportedType(
            f"feature view {name} is computed on demand and not stored; leave it out of the feature service"
        )
    return known[name]


def _plan(
    registry: BaseRegistry,
    project: str,
    view: FeatureView,
    name: str,
    features: Sequence[str],
    join_key_map: Mapping[str, str],
) -> ViewPlan:
    layout = layout_of(view)
    unknown = [feature for feature in features if feature not in layout.positions]
    if unknown:
        raise UnknownName(
            f"feature view {view.name} has no feature {', '.join(unknown)}; it has {', '.join(layout.positions)}"
        )
    types = _key_types(registry.list_entities(project), view)
    prefix, join_keys = row_prefix(project, view.name, types), sorted(types)
    if join_keys == [NO_ENTITY]:
        prefix, join_keys = prefix + encoded_value("string_val", ""), []
    for key in join_keys:
        if types[key] not in _INTEGERS:
            raise UnsupportedType(
                f"feature view {view.name}: its join key {key} is declared {types[key]}, and a matrix is read by "
                "integer keys; declare the entity INT64 and map its names to integers"
            )
    return ViewPlan(
        name=name,
        prefix=prefix,
        layout=layout,
        columns=tuple(layout.positions[feature] for feature in features),
        request_keys=tuple(join_key_map.get(key, key) for key in join_keys),
        key_fields=tuple(_INTEGERS[types[key]] for key in join_keys),
        ttl=round(view.ttl.total_seconds() * 1_000_000) if view.ttl else 0,
    )


def _key_types(entities: Sequence[Entity], view: FeatureView) -> dict[str, str]:
    """Names of the Feast ``ValueType`` of a view's join keys: as its rows are keyed when they are materialized."""
    if view.entity_columns:
        return {column.name: column.dtype.to_value_type().name for column in view.entity_columns}
    declared = {entity.name: entity for entity in entities}
    return {
        declared[name].join_key: (declared[name].value_type or ValueType.STRING).name
        for name in view.entities
        if name in declared
    } or {NO_ENTITY: ValueType.STRING.name}


def _require_numbers(plan: ViewPlan) -> None:
    for column in (plan.layout.columns[i] for i in plan.columns):
        if column.encoding.form is not Form.FIXED:
            raise UnsupportedType(
                f"feature view {plan.name}: {column.name} is {column.type}, and a matrix holds numbers; "
                "leave it out of the feature service, or read it with `lists`"
            )
