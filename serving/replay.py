"""Plays real later behaviour against the live service: who acted, when, and whether we had shown it to them."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import httpx
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import ValidationError

from feature_repo.catalog import event_tables
from feature_repo.errors import RecommendError
from feature_repo.events import register
from feature_repo.home import reports_path, vault_path
from feature_repo.identity import Vault, workspace_of
from feature_repo.recommender import Recommender
from serving.client import ApiError, Client, Settings
from serving.contract import OutcomeEvent, RecommendResponse
from serving.problems import invalid
from training.bundle import Interval
from training.evaluate import bootstrap
from training.labels import acts_sql

SHOWN = 10
"""Items asked for in each request."""
PATIENCE_MS = 10_000
"""Nobody waits for an answer: what is compared is the best one."""

BEFORE_THE_ACT = timedelta(seconds=1)
"""A visit comes so long before the first act of its day: an outcome must be later than its impression."""


@dataclass(frozen=True)
class Visit:
    """A day on which somebody acted.

    Args:
        query_id: Who.
        at: When the request is made.
        chosen: What they acted on within the outcome's window from then, with the instant.
        before: What they had acted on since the replay began; not offered again where an outcome is ``once``.
    """

    query_id: int
    at: datetime
    chosen: dict[int, datetime]
    before: tuple[int, ...]


@dataclass(frozen=True)
class Replay:
    """What came of it, a value per visit.

    Args:
        recommender: Which.
        model_versions: The versions that answered.
        rungs: The rungs that answered.
        users: ``[visits]`` int64.
        shown: ``[visits]`` items shown.
        clicks: ``[visits]`` shown items that were chosen.
        dcg: ``[visits]`` DCG@10 with gain 1 (Järvelin & Kekäläinen 2002).
    """

    recommender: str
    model_versions: tuple[str, ...]
    rungs: tuple[str, ...]
    users: NDArray[np.int64]
    shown: NDArray[np.float64]
    clicks: NDArray[np.float64]
    dcg: NDArray[np.float64]

    def clickthrough(self, seed: int = 7) -> Interval:
        """Clicks by shown items, the mean over visits, with a bootstrap interval over users."""
        return bootstrap(self.clicks / np.maximum(self.shown, 1), self.users, seed)

    def mean_dcg(self, seed: int = 7) -> Interval:
        """Mean DCG@10 with a bootstrap interval over users."""
        return bootstrap(self.dcg, self.users, seed)

    def lifts(self, other: "Replay", seed: int = 7) -> tuple[Interval, Interval]:
        """Mean paired difference in clickthrough and in DCG@10 to a replay of the same visits.

        Raises:
            RecommendError: the visits are not the same.
        """
        if not np.array_equal(self.users, other.users):
            raise RecommendError(
                "the two replays are of different visits: give both the same days, --visits and --seed"
            )
        rates = self.clicks / np.maximum(self.shown, 1) - other.clicks / np.maximum(other.shown, 1)
        return bootstrap(rates, self.users, seed), bootstrap(self.dcg - other.dcg, self.users, seed)


def visits(
    recommender: Recommender, since: datetime, until: datetime, most: int | None, seed: int
) -> list[Visit]:
    """The days from ``since`` to ``until`` on which somebody did the outcome, in order of time.

    Args:
        recommender: Whose outcome.
        since: Inclusive.
        until: Exclusive; what they do later, within the outcome's window, still counts as chosen.
        most: A seeded sample of so many; None takes all.
        seed: Of the sample.

    Raises:
        RecommendError: nobody acted.
    """
    acts = _acts(recommender, since, until)
    starts: dict[tuple[int, date], datetime] = {}
    for user, _, at in acts:
        if at < until:
            starts.setdefault((user, at.date()), at)
    if not starts:
        raise RecommendError(
            f"nobody did {recommender.outcome.name} from {since:%Y-%m-%d} to {until:%Y-%m-%d}: nothing to replay"
        )
    by_user: dict[int, list[tuple[int, datetime]]] = {}
    for user, candidate, at in acts:
        by_user.setdefault(user, []).append((candidate, at))
    found = [_visit(recommender, user, first, by_user[user]) for (user, _), first in starts.items()]
    if most is not None and len(found) > most:
        chosen = np.random.default_rng(seed).choice(len(found), most, replace=False)
        found = [found[i] for i in chosen]
    return sorted(found, key=lambda visit: (visit.at, visit.query_id))


@contextmanager
def connected(url: str) -> Iterator[Client]:
    """A client of the service at ``url``, with the API key of ``RECOMMEND_KEY`` where the variable is set.

    Raises:
        RecommendError: where it is used: no service is there, it refuses, or request or answer fit no contract.
    """
    with Client(url, os.environ.get("RECOMMEND_KEY"), settings=Settings(timeout=30)) as client:
        try:
            yield client
        except httpx.TransportError as error:
            raise RecommendError(
                f"no service answers at {url} ({error}): start it with `recommend serve`"
            ) from None
        except ApiError as error:
            mend = ": export RECOMMEND_KEY, a key that `recommend keys add` printed"
            raise RecommendError(
                f"the service at {url} answered {error}{mend if error.status == 401 else ''}"
            ) from None
        except ValidationError as error:
            raise RecommendError(
                f"what {url} is asked, or answers, does not fit the contract: {invalid(error).details.detail}"
            ) from None


def replay(
    recommender: Recommender,
    made: Sequence[Visit],
    url: str,
    advance: Callable[[], None] = lambda: None,
) -> Replay:
    """Ask the live service at every visit, and post what was chosen of what it showed.

    Raises:
        RecommendError: no service there, it refused a request, or who asks was forgotten.
    """
    answers: list[RecommendResponse] = []
    hits: list[NDArray[np.bool_]] = []
    with Vault(vault_path()) as vault, connected(url) as client:
        names = {number: name for name, number in vault.workspaces().items()}
        for visit in made:
            answer, hit = _ask(recommender, visit, vault, names, client)
            answers.append(answer)
            hits.append(hit)
            advance()
    return Replay(
        recommender=recommender.name,
        model_versions=tuple(sorted({a.model_version for a in answers})),
        rungs=tuple(sorted({a.rung for a in answers})),
        users=np.array([v.query_id for v in made], np.int64),
        shown=np.array([len(h) for h in hits], np.float64),
        clicks=np.array([h.sum() for h in hits], np.float64),
        dcg=np.array([(h / np.log2(2 + np.arange(len(h)))).sum() for h in hits], np.float64),
    )


def joined(parts: Sequence[Replay]) -> Replay:
    """One replay of all the visits of some replays of the same recommender, in their order; at least one."""
    return Replay(
        recommender=parts[0].recommender,
        model_versions=tuple(sorted({v for p in parts for v in p.model_versions})),
        rungs=tuple(sorted({r for p in parts for r in p.rungs})),
        users=np.concatenate([p.users for p in parts]),
        shown=np.concatenate([p.shown for p in parts]),
        clicks=np.concatenate([p.clicks for p in parts]),
        dcg=np.concatenate([p.dcg for p in parts]),
    )


def save(result: Replay) -> Path:
    """Write the values by visit as JSON under the reports; a newer replay of the same model replaces it."""
    path = reports_path() / "replay" / f"{result.recommender}-{'-'.join(result.rungs)}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(vars(result), default=np.ndarray.tolist))
    return path


def load(path: Path) -> Replay:
    """Read what `save` wrote."""
    document = json.loads(path.read_text())
    return Replay(
        recommender=document["recommender"],
        model_versions=tuple(document["model_versions"]),
        rungs=tuple(document["rungs"]),
        users=np.array(document["users"], np.int64),
        shown=np.array(document["shown"], np.float64),
        clicks=np.array(document["clicks"], np.float64),
        dcg=np.array(document["dcg"], np.float64),
    )


def _acts(recommender: Recommender, since: datetime, until: datetime) -> list[tuple[int, int, datetime]]:
    with duckdb.connect() as connection:
        register(connection, event_tables(), until + recommender.outcome.window)
        table: pa.Table = connection.sql(
            f"SELECT {recommender.query_key}, {recommender.candidate_key}, acted_at "
            f"FROM ({acts_sql(recommender)}) WHERE acted_at >= ? ORDER BY acted_at, 1, 2",
            params=[since],
        ).to_arrow_table()
    columns = (table[0].to_pylist(), table[1].to_pylist(), table[2].to_pylist())
    return list(zip(*columns, strict=True))


def _visit(recommender: Recommender, user: int, first: datetime, acts: list[tuple[int, datetime]]) -> Visit:
    end = first + recommender.outcome.window
    chosen: dict[int, datetime] = {}
    for candidate, at in acts:
        if first <= at <= end:
            chosen.setdefault(candidate, at)
    before = tuple({c for c, at in acts if at < first}) if recommender.outcome.once else ()
    return Visit(user, first - BEFORE_THE_ACT, chosen, before)


def _ask(
    recommender: Recommender, visit: Visit, vault: Vault, names: dict[int, str], client: Client
) -> tuple[RecommendResponse, NDArray[np.bool_]]:
    """The answer, and which of its items were chosen."""
    workspace_id = workspace_of(visit.query_id)
    (user,) = vault.reveal(workspace_id, recommender.query_kind, [visit.query_id])
    if user is None:
        raise RecommendError(
            f"who acted on {visit.at:%Y-%m-%d} was forgotten, and nobody can ask for them: leave that day out"
        )
    seen = vault.reveal(workspace_id, recommender.candidate_kind, visit.before)
    answer = client.recommend(
        recommender.name,
        {recommender.query_key: user},
        workspace=names[workspace_id],
        limit=SHOWN,
        exclude=[s for s in seen if s is not None],
        as_of=visit.at.isoformat(),
        deadline_ms=PATIENCE_MS,
    )
    ids = vault.lookup(workspace_id, recommender.candidate_kind, [i.id for i in answer.items]).tolist()
    clicked = [
        OutcomeEvent.model_validate(
            {
                "event_id": _event_id(answer.request_id, item.rank),
                "request_id": answer.request_id,
                "id": item.id,
                "outcome": recommender.outcome.name,
                "at": visit.chosen[candidate].isoformat(),
            }
        )
        for item, candidate in zip(answer.items, ids, strict=True)
        if candidate in visit.chosen
    ]
    if clicked:
        client.outcomes(clicked, workspace=names[workspace_id])
    return answer, np.array([candidate in visit.chosen for candidate in ids], bool)


def _event_id(request_id: str, rank: int) -> str:
    """The same item of the same answer is the same event, however often it is sent."""
    return hashlib.blake2b(f"{request_id}/{rank}".encode(), digest_size=12).hexdigest()
