"""The model bundle: a ranker with all that serving and monitoring must know about it, in BentoML's store."""

import hashlib
import json
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path

import bentoml
import pyarrow as pa
import pyarrow.parquet as pq
from bentoml._internal.models.model import ModelStore

from feature_repo.errors import RecommendError
from feature_repo.home import models_path
from training.rankers import Ranker, ranker_class

DIGESTS = "digests.json"
"""BLAKE2b (RFC 7693) of the ranker's files and the reference, by file name."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % confidence interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def signed(self) -> str:
        """The same of a difference."""
        return f"{self.value:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


@dataclass(frozen=True)
class Card:
    """What is known of a bundle without loading its ranker.

    Args:
        recommender: The recommender's name; also the name in the model store.
        ranker: A name of the ladder.
        feature_service: The Feast feature service that supplies the features.
        feature_service_hash: `feature_repo.recommender.Recommender.definition_hash` at training time.
        feature_names: Columns of the matrix, in order; all float32.
        trained_from: First cut-off of the training queries.
        trained_to: Last cut-off of the training queries.
        as_of: The instant that training ran as of: no label is later.
        workspaces: Ids of the workspaces whose rows were used.
        metrics: Evidence on the held-out cut-offs, by metric name (``ndcg@10`` …).
        version: Given by the model store; empty before the bundle is saved.
    """

    recommender: str
    ranker: str
    feature_service: str
    feature_service_hash: str
    feature_names: tuple[str, ...]
    trained_from: datetime
    trained_to: datetime
    as_of: datetime
    workspaces: tuple[int, ...]
    metrics: Mapping[str, Interval] = field(default_factory=dict)
    version: str = ""

    @property
    def tag(self) -> str:
        """``recommender:version``, as `bentoml models` names it."""
        return f"{self.recommender}:{self.version}"


@dataclass(frozen=True)
class Bundle:
    """A card, the ranker itself, and where the reference sample lies."""

    card: Card
    ranker: Ranker
    folder: Path

    def reference(self) -> pa.Table:
        """The drift reference: held-out rows with the feature columns, ``score`` and ``label``."""
        return pq.read_table(self.folder / "reference.parquet")


def save(card: Card, ranker: Ranker, reference: pa.Table) -> Card:
    """Put a bundle into the model store; answers the card with its version."""
    labels = {"ranker": card.ranker}
    with (
        _store() as store,
        bentoml.models.create(card.recommender, labels=labels, _model_store=store) as model,
    ):
        saved = replace(card, version=model.tag.version)
        folder = Path(model.path)
        ranker.save(folder)
        pq.write_table(reference, folder / "reference.parquet")
        (folder / DIGESTS).write_text(json.dumps(_digests(folder, [p.name for p in folder.iterdir()])))
        (folder / "card.json").write_text(json.dumps(asdict(saved), default=datetime.isoformat, indent=1))
    return saved


def load(recommender: str, version: str) -> Bundle:
    """Read a bundle back.

    Raises:
        RecommendError: there is none of that version, or it is damaged.
    """
    folder = _folder(recommender, version)
    with _reading(recommender, version):
        card = _read_card(folder)
        _check_digests(folder)
        return Bundle(card, ranker_class(card.ranker).load(folder), folder)


def versions(recommender: str) -> list[str]:
    """The stored versions of a recommender, newest first; a folder whose save is on its way, or was cut, is none."""
    with _store() as store:
        folders = [path for path in (_root() / recommender).glob("*") if path.is_dir()]
        models = [m for path in folders if (m := _model(store, recommender, path.name)) is not None]
    return [str(m.tag.version) for m in sorted(models, key=lambda m: m.info.creation_time, reverse=True)]


def cards(recommender: str) -> list[Card]:
    """The cards of the stored versions, newest first.

    Raises:
        RecommendError: one of them is damaged.
    """
    return [card(recommender, version) for version in versions(recommender)]


def card(recommender: str, version: str) -> Card:
    """The card of one version.

    Raises:
        RecommendError: there is none of that version, or it is damaged.
    """
    folder = _folder(recommender, version)
    with _reading(recommender, version):
        return _read_card(folder)


def _model(store: ModelStore, recommender: str, version: str) -> bentoml.Model | None:
    try:
        return bentoml.models.get(f"{recommender}:{version}", _model_store=store)
    except Exception:  # there is none, no version can have that name, or it is not whole, in whichever way
        return None


def _folder(recommender: str, version: str) -> Path:
    with _store() as store:
        model = _model(store, recommender, version)
    if model is None:
        known = ", ".join(versions(recommender)) or f"none: run `recommend train {recommender}` first"
        raise RecommendError(f"no version {version!r} of {recommender} (stored: {known})")
    return Path(model.path)


def _read_card(folder: Path) -> Card:
    document = json.loads((folder / "card.json").read_text())
    instants = {k: datetime.fromisoformat(document[k]) for k in ("trained_from", "trained_to", "as_of")}
    lists = {k: tuple(document[k]) for k in ("feature_names", "workspaces")}
    metrics = {k: Interval(**v) for k, v in document["metrics"].items()}
    return Card(**document | instants | lists | {"metrics": metrics})


def _digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    found = {}
    for name in names:
        with (folder / name).open("rb") as file:
            found[name] = hashlib.file_digest(file, hashlib.blake2b).hexdigest()
    return found


def _check_digests(folder: Path) -> None:
    # Before any library reads them: LightGBM ends the whole process on a model file that was cut.
    stored = json.loads((folder / DIGESTS).read_text())
    actual = _digests(folder, stored)
    if damaged := [name for name, digest in stored.items() if actual[name] != digest]:
        raise ValueError(f"{', '.join(damaged)} is not what was stored")


@contextmanager
def _reading(recommender: str, version: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # each library has errors of its own for a damaged file
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise RecommendError(
            f"bundle {recommender}:{version} cannot be read ({reason}): train again, "
            f"or promote another of {', '.join(versions(recommender))}"
        ) from error


def _root() -> Path:
    return models_path() / "models"


@contextmanager
def _store() -> Iterator[ModelStore]:
    """Our own model store. Named at each call: BentoML reads ``BENTOML_HOME`` once per process."""
    path = _root()
    path.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # BentoML's own; Feast has turned all of them on
        yield ModelStore(path)
