"""Which version serves: one small file per recommender, replaced atomically, read by every worker."""

import json
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from feature_repo.catalog import recommender
from feature_repo.clock import now
from feature_repo.errors import RecommendError
from feature_repo.home import models_path
from training import bundle
from training.rankers import LADDER


@dataclass(frozen=True)
class Champion:
    """The promoted version of a recommender.

    Args:
        recommender: Its name.
        version: In the model store.
        promoted_at: When.
        previous: The version that served before, if any.
    """

    recommender: str
    version: str
    promoted_at: datetime
    previous: str | None


def champion_path(name: str) -> Path:
    """Where a recommender's champion is named. Its modification time tells a server to look again."""
    return models_path() / "champions" / f"{name}.json"


def champion(name: str) -> Champion | None:
    """The promoted version, or None before the first promotion."""
    try:
        document = json.loads(champion_path(name).read_text())
    except FileNotFoundError:
        return None
    return Champion(**document | {"promoted_at": datetime.fromisoformat(document["promoted_at"])})


def promote(name: str, version: str) -> Champion:
    """Make a stored version the one that serves.

    Args:
        name: The recommender.
        version: A version of the model store; ``latest``, the newest; ``best``, what the last training found
            best in validation; or a ranker's name, its newest.

    Raises:
        RecommendError: no such recommender or version, a damaged bundle, or one that was trained on
            features which the declaration no longer has.
    """
    declared = recommender(name)
    card = bundle.load(name, resolve(name, version)).card
    if card.feature_service_hash != declared.definition_hash:
        raise RecommendError(
            f"{card.tag} was trained on other features than {name} declares today: train it again, then promote"
        )
    before = champion(name)
    promoted = Champion(name, card.version, now(), before.version if before else None)
    path = champion_path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as draft:
        json.dump(vars(promoted), draft, default=datetime.isoformat, indent=1)
    Path(draft.name).replace(path)
    return promoted


def resolve(name: str, version: str) -> str:
    """The stored version that `promote` would take for ``version``; what it does not know, as it is."""
    if version == "latest":
        return next(iter(bundle.versions(name)), version)
    if version == "best":
        from training import report  # imports every part of training, which a service need not

        return str(report.load(name)["best"])
    if version in LADDER:
        return next((c.version for c in bundle.cards(name) if c.ranker == version), version)
    return version
