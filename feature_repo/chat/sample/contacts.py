"""Whom people turned to of late, and therefore turn to next."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from feature_repo.chat.sample.draws import draw_columns
from feature_repo.chat.sample.population import Population
from feature_repo.chat.sample.preferences import ContactPreference
from feature_repo.chat.sample.rhythm import DAY

_REMEMBERED: Final = 48


class ContactMemory:
    """The latest contacts of every user, in a ring of fixed length: exploration and preferential return.

    A contact is a mention (not a quotation) or a direct message between two. Replaying a sample's contacts up to
    an instant gives the very weights that its people's next contacts were drawn by.
    """

    def __init__(self, population: Population, preference: ContactPreference) -> None:
        """Begin with nobody having met anybody."""
        self._population, self._preference = population, preference
        shape = (len(population), _REMEMBERED)
        self._partner = np.zeros(shape, np.int32)
        self._instant = np.zeros(shape, np.int64)
        self._weight = np.zeros(shape, np.float32)
        self._recorded = np.zeros(len(population), np.int64)

    def record(
        self, users: NDArray[np.integer], partners: NDArray[np.integer], instants: NDArray[np.int64]
    ) -> None:
        """Remember that each user turned to the partner beside it. Later calls bring later contacts."""
        who = np.concatenate([users, partners])
        whom = np.concatenate([partners, users])
        when = np.concatenate([instants, instants])
        weight = np.repeat([1.0, self._preference.reciprocity], [len(users), len(partners)])
        order = np.lexsort((when, who))
        who, whom, when, weight = who[order], whom[order], when[order], weight[order]
        _, first, inverse, sizes = np.unique(who, return_index=True, return_inverse=True, return_counts=True)
        rank = np.arange(len(who)) - first[inverse]
        slot = (self._recorded[who] + rank) % _REMEMBERED
        # Of more contacts than a ring holds, only the last are written: no slot is written twice.
        kept = rank >= sizes[inverse] - _REMEMBERED
        at = who[kept], slot[kept]
        self._partner[at], self._instant[at], self._weight[at] = whom[kept], when[kept], weight[kept]
        self._recorded += np.bincount(who, minlength=len(self._recorded))

    def pool(self, users: NDArray[np.integer], instant: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Whom each user may turn to, and the weight of it; a person may come several times in a row.

        Returns:
            People, int32, and weights, float64, both ``[len(users), remembered + circle]``.
        """
        age_days = (instant - self._instant[users]) / DAY
        returning = self._weight[users] * np.exp(-age_days / self._preference.memory_days)
        exploring = self._preference.exploration * self._population.closeness[users]
        people = np.concatenate([self._partner[users], self._population.circle[users]], axis=1)
        return people, np.concatenate([returning, exploring], axis=1).astype(np.float64)

    def draw(
        self, rng: np.random.Generator, users: NDArray[np.integer], instant: int, count: int
    ) -> NDArray[np.int64]:
        """``count`` independent draws of whom each user turns to; oneself stands for nobody.

        Int64 ``[len(users), count]``.
        """
        people, weights = self.pool(users, instant)
        column = draw_columns(rng, weights, count)
        drawn = np.take_along_axis(people, np.maximum(column, 0), axis=1)
        return np.where(column < 0, users[:, None], drawn).astype(np.int64)
