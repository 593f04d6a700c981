"""Which variant a unit belongs to: the same one for as long as the experiment has its name and weights."""

from dataclasses import replace
from datetime import datetime
from hashlib import blake2b
from itertools import accumulate

from feature_repo.experiment import OUTSIDE, Experiment, Variant
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
    ends = list(accumulate(v.weight for v in experiment.variants))
    place = int.from_bytes(digest, "big") / 2**64 * ends[-1]
    return next(
        (v for v, end in zip(experiment.variants, ends, strict=True) if place < end), experiment.variants[-1]
    )
