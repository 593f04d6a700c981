"""Which variant a unit belongs to: the same one for as long as the experiment has its name and weights."""

from dataclasses import replace
from datetime import datetime
from hashlib import blake2b
from itertools import accumulate

from feature_repo.experiment import AS_DECLARED, OUTSIDE, Experiment, Variant
from feature_repo.identity import UNKNOWN
from feature_repo.recommender import Recommender


def assigned(recommender: Recommender, unit: int, instant: datetime) -> tuple[str | None, Variant]:
    """The running experiment's name and the unit's variant in it; outside one, the champion under the declared policy.

    A unit that is unknown here, a stranger, takes part in no experiment: it could not be told from another.
    """
    experiment = recommender.experiment(instant)
    if experiment is None or unit == UNKNOWN:
        return None, OUTSIDE if recommender.exploration is None else replace(
            OUTSIDE, exploration=recommender.exploration
        )
    return experiment.name, assign(experiment, unit)


def assign(experiment: Experiment, unit: int) -> Variant:
    """The variant of a unit (the asking entity's id), by a hash of both names: nothing is kept, every worker agrees.

    The hash is uniform over [0, 1), which the variants divide in proportion to their weights (Kohavi, Tang & Xu 2020,
    *Trustworthy Online Controlled Experiments*, ch. 4).
    """
    digest = blake2b(f"{experiment.name}/{unit}".encode(), digest_size=8).digest()
    shown = experiment.shown
    ends = list(accumulate(v.weight for v in shown))
    place = int.from_bytes(digest, "big") / 2**64 * ends[-1]
    return next((v for v, end in zip(shown, ends, strict=True) if place < end), shown[-1])


def named(recommender: Recommender, name: str, instant: datetime) -> tuple[str | None, Variant] | None:
    """The variant of that name: of the running experiment, or outside one; None where there is none."""
    experiment = recommender.experiment(instant)
    if experiment is not None:
        for variant in experiment.variants:
            if variant.name == name:
                return experiment.name, variant
    return next(((None, v) for v in (OUTSIDE, AS_DECLARED) if v.name == name), None)
