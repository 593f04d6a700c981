"""The edge of the identity vault: outside it are the caller's own ids, inside it int64."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from feature_repo.identity import UNKNOWN
from serving.names import Identities
from serving.problems import FieldError, Problem, bad_fields


def workspace_id(names: Identities, name: str | None) -> int:
    """The workspace named, or the only one.

    Raises:
        Problem: 400 where there is none of that name, or several and none was named.
    """
    known = names.workspaces()
    if name is not None and name in known:
        return known[name]
    if not known:
        raise Problem(
            400,
            "no-workspace",
            "No workspace has been ingested",
            "workspace: there is none yet; run `recommend ingest PATH --workspace NAME` on the server first",
        )
    if name is None and len(known) == 1:
        return next(iter(known.values()))
    # Names of other tenants are not told to whoever guesses.
    mend = (
        "is needed, as this server holds several: send the name that it was ingested under"
        if name is None
        else "is not known here: send the name that it was ingested under, or use a key of that workspace"
    )
    error = FieldError(pointer="#/workspace", detail=mend)
    raise bad_fields(400, "unknown-workspace", "The workspace is not clear", [error])


def interned(names: Identities, workspace: int, kind: str, raw: str) -> int:
    """The id of one raw id; ``UNKNOWN`` where it was never interned."""
    return int(names.lookup(workspace, kind, [raw])[0])


def interned_set(names: Identities, workspace: int, kind: str, raw: Sequence[str]) -> frozenset[int]:
    """The known ids among the raw ones."""
    return frozenset(names.lookup(workspace, kind, raw).tolist()) - {UNKNOWN} if raw else frozenset()


def first_named(
    names: Identities, workspace: int, kind: str, ids: NDArray[np.int64], limit: int
) -> list[tuple[int, str]]:
    """Index and raw id of the first ``limit`` of ``ids`` that still have one: a forgotten one is passed over."""
    named: list[tuple[int, str]] = []
    for start in range(0, len(ids), limit):
        raw = names.reveal(workspace, kind, ids[start : start + limit].tolist())
        named += [(start + n, r) for n, r in enumerate(raw) if r is not None]
        if len(named) >= limit:
            break
    return named[:limit]
