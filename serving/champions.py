"""Which scorer serves each recommender: follows the champions' files, swaps without a restart."""

import logging
from collections.abc import Mapping
from dataclasses import replace

from feature_repo.errors import RecommendError
from feature_repo.experiment import CHAMPION, DECLARED, Variant
from feature_repo.recommender import Recommender
from serving.poller import Poller
from serving.scorer import Scorer, declared_heuristic, promoted
from training import bundle
from training.bundle import Bundle
from training.champion import champion, champion_path, resolve

DAY_ONE, LINEAR = "heuristic", "logistic"
"""Rungs of `training.rankers.LADDER`."""

logger = logging.getLogger("bentoml.recommend")


class Champions:
    """The current scorer of every recommender.

    A reader gets a whole scorer or the one before it: a swap is one assignment. A bundle that cannot serve
    (damaged, or trained on other features than are declared) is refused with one line in the log, and
    what served before goes on serving.
    """

    def __init__(self, recommenders: Mapping[str, Recommender]) -> None:
        """Load what is promoted now."""
        self._recommenders = recommenders
        self._declared = {name: declared_heuristic(r) for name, r in recommenders.items()}
        self._scorers = dict(self._declared)
        self._linear: dict[str, Scorer] = {}
        self._arms: dict[tuple[str, str], Scorer] = {}
        self._missing: set[tuple[str, str, int | None]] = set()
        self._seen: dict[str, int | None] = {}
        self._poller = Poller("champions", self.refresh)
        self.refresh()
        for name in recommenders:
            if champion_path(name).exists():
                continue
            logger.warning(
                "no promoted model for %s, serving its heuristic; `recommend train %s` "
                "then `recommend promote %s latest`",
                *[name] * 3,
            )

    def start(self) -> None:
        """Look for promotions from now on, off the request path."""
        self._poller.start()

    def close(self) -> None:
        """Stop looking."""
        self._poller.close()

    def current(self, name: str) -> Scorer:
        """What serves the recommender now."""
        return self._scorers[name]

    def serving(self, name: str, variant: Variant) -> Scorer:
        """What serves a variant of the recommender now; the champion, as a stand-in, where that was not loaded."""
        if variant.version == CHAMPION:
            return self._scorers[name]
        if variant.version == DECLARED:
            return self._declared[name]
        arm = self._arms.get((name, variant.version))
        return arm or replace(self._scorers[name], stands_in="variant-unavailable")

    def below(self, name: str, scorer: Scorer) -> tuple[Scorer, ...]:
        """The rungs below a scorer, best first: a linear ranker, if one is stored and it is none; the declared
        heuristic, if it is not that."""
        linear = self._linear.get(name)
        lower = () if linear is None or scorer.rung in (linear.rung, DAY_ONE) else (linear,)
        return lower if scorer is self._declared[name] else (*lower, self._declared[name])

    def refresh(self) -> None:
        """Swap in every promotion since the last look, and load what experiments name and is not loaded yet."""
        for name, recommender in self._recommenders.items():
            changed = _modified(name)
            if changed == self._seen.get(name):
                continue
            self._seen[name] = changed
            self._load_linear(recommender)
            try:
                scorer = self._champion(recommender)
            except Exception as error:
                # The files are another process's work: whatever is wrong with them must not stop serving.
                self._scorers[name] = self._in_its_place(name)
                logger.error("%s; %s goes on serving", _reason(error), self._scorers[name].model_version)
                continue
            self._scorers[name] = scorer
            logger.info("%s is served by %s (%s)", name, scorer.model_version, scorer.rung)
        for name, recommender in self._recommenders.items():
            wanted = {v.version for e in recommender.experiments for v in e.variants} - {CHAMPION, DECLARED}
            for version in wanted:
                # What is missing is looked for again after the next promotion: until then it would fail as it did.
                failed = (name, version, self._seen.get(name)) in self._missing
                if (name, version) not in self._arms and not failed:
                    self._load_arm(recommender, version)

    def _champion(self, recommender: Recommender) -> Scorer:
        chosen = champion(recommender.name)
        if chosen is None:
            return self._declared[recommender.name]
        return promoted(_bundle(recommender, chosen.version), chosen.promoted_at)

    def _in_its_place(self, name: str) -> Scorer:
        """What served before; at the start nothing did, and the best that there is stands in."""
        current = self._scorers[name]
        if current is not self._declared[name]:
            return current
        return replace(self._linear.get(name, current), stands_in="model-unavailable")

    def _load_linear(self, recommender: Recommender) -> None:
        """The newest linear bundle that fits the declaration; without one the ladder goes on with the heuristic."""
        name, known = recommender.name, self._linear.get(recommender.name)
        for version in bundle.versions(name):
            if known is not None and known.model_version == version:
                return
            try:
                card = bundle.card(name, version)
                if card.ranker == LINEAR and card.feature_service_hash == recommender.definition_hash:
                    self._linear[name] = promoted(_bundle(recommender, version), None)
                    return
            except Exception as error:
                logger.error("%s cannot stand by for %s: %s", version, name, _reason(error))

    def _load_arm(self, recommender: Recommender, version: str) -> None:
        try:
            scorer = promoted(_bundle(recommender, resolve(recommender.name, version)), None)
        except Exception as error:
            self._missing.add((recommender.name, version, self._seen.get(recommender.name)))
            logger.error(
                "an experiment on %s names %s: %s; its champion stands in",
                recommender.name,
                version,
                _reason(error),
            )
            return
        self._arms[recommender.name, version] = scorer


def _bundle(recommender: Recommender, version: str) -> Bundle:
    loaded = bundle.load(recommender.name, version)
    if loaded.card.feature_service_hash != recommender.definition_hash:
        raise RecommendError(
            f"{loaded.card.tag} was trained on other features than {recommender.name} declares: "
            "refused; train again, then promote"
        )
    return loaded


def _modified(name: str) -> int | None:
    try:
        return champion_path(name).stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _reason(error: Exception) -> str:
    return (
        str(error) if isinstance(error, RecommendError) else f"the champion's file cannot be read ({error!r})"
    )
