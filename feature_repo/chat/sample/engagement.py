"""What a channel message sets off: mentions, reactions, and links to other channels."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from feature_repo.chat.events import PUBLIC
from feature_repo.chat.sample.contacts import ContactMemory
from feature_repo.chat.sample.draws import first_valid
from feature_repo.chat.sample.rhythm import DAY, SECOND
from feature_repo.chat.sample.roster import Roster
from feature_repo.chat.sample.world import Setting

_MENTION: Final = 0.22
_SECOND_MENTION: Final = 0.15
_MENTION_OPENER: Final = 0.35
_QUOTE: Final = 0.3
_REACTIONS: Final = 0.4
_REACTION_SECONDS: Final = 1500.0
_MORE_REACTIONS: Final = 0.85
_LINK: Final = 0.015
_PROPOSALS: Final = 4


@dataclass(frozen=True)
class Posts:
    """A day's channel messages in order of time; int64 arrays of shape ``[posts]``.

    Args:
        number: The message's number.
        user: Its author.
        channel: Where.
        instant: When.
        opener: Who opened the thread that it replies to, -1 where it opens one.
    """

    number: NDArray[np.int64]
    user: NDArray[np.int64]
    channel: NDArray[np.int64]
    instant: NDArray[np.int64]
    opener: NDArray[np.int64]


@dataclass(frozen=True)
class Mentions:
    """Who mentions whom: the row of the post, the person, and whether it only quotes; shape ``[mentions]``."""

    post: NDArray[np.int64]
    mentioned: NDArray[np.int64]
    is_quote: NDArray[np.bool_]


@dataclass(frozen=True)
class Reactions:
    """Who reacts: the row of the post, the person, the instant, and with how many emoji; shape ``[reactions]``."""

    post: NDArray[np.int64]
    user: NDArray[np.int64]
    instant: NDArray[np.int64]
    count: NDArray[np.int64]


@dataclass(frozen=True)
class Links:
    """Posts that link to a channel: the row of the post, and the channel; shape ``[links]``."""

    post: NDArray[np.int64]
    linked: NDArray[np.int64]


def mention(
    rng: np.random.Generator, setting: Setting, roster: Roster, memory: ContactMemory, posts: Posts, day: int
) -> Mentions:
    """Mentions of members of the channel: whom one replies to, or whom one turns to anyway."""
    people = setting.population
    mentioning = np.flatnonzero((rng.random(len(posts.user)) < _MENTION) & ~people.is_bot[posts.user])
    post = np.concatenate([mentioning, mentioning[rng.random(len(mentioning)) < _SECOND_MENTION]])
    user, channel, opener = posts.user[post], posts.channel[post], posts.opener[post]
    proposals = memory.draw(rng, user, day * DAY, _PROPOSALS)
    answering = (opener >= 0) & (rng.random(len(post)) < _MENTION_OPENER)
    proposals[answering, 0] = opener[answering]
    valid = roster.contains(proposals, np.broadcast_to(channel[:, None], proposals.shape))
    valid &= (proposals != user[:, None]) & ~people.is_bot[proposals]
    mentioned = first_valid(proposals, valid)
    found = _first_of_each(post, mentioned) & (mentioned >= 0)
    is_quote = (mentioned == opener) & (rng.random(len(post)) < _QUOTE)
    return Mentions(post[found], mentioned[found], is_quote[found])


def react(rng: np.random.Generator, setting: Setting, roster: Roster, posts: Posts) -> Reactions:
    """Reactions of members who noticed the message, of some the one who is closest to its author."""
    people = setting.population
    post = np.repeat(np.arange(len(posts.user)), rng.poisson(_REACTIONS, len(posts.user)))
    author = posts.user[post]
    noticing = roster.draw_members(rng, posts.channel[post], _PROPOSALS)
    liking = people.tie_strength(noticing, author[:, None]) * rng.random(noticing.shape)
    user = noticing[np.arange(len(post)), liking.argmax(axis=1)]
    delay = np.ceil(rng.exponential(_REACTION_SECONDS, len(post))).astype(np.int64)
    instant = posts.instant[post] + delay * SECOND
    # What would run past midnight is left out: a day's events lie within it.
    same_day = instant < (posts.instant[post] // DAY + 1) * DAY
    kept = same_day & (user != author) & ~people.is_bot[user] & _first_of_each(post, user)
    return Reactions(post[kept], user[kept], instant[kept], rng.geometric(_MORE_REACTIONS, int(kept.sum())))


def link(rng: np.random.Generator, setting: Setting, roster: Roster, posts: Posts) -> Links:
    """Links to another public channel, one that the author is in."""
    post = np.flatnonzero((rng.random(len(posts.user)) < _LINK) & ~setting.population.is_bot[posts.user])
    linked = roster.draw_channels(rng, posts.user[post])
    kept = (linked != posts.channel[post]) & (setting.channels.kind[linked] == PUBLIC)
    return Links(post[kept], linked[kept])


def _first_of_each(post: NDArray[np.int64], user: NDArray[np.int64]) -> NDArray[np.bool_]:
    """True for the first row of each pair of post and user."""
    first = np.zeros(len(post), np.bool_)
    first[np.unique(np.stack([post, user]), axis=1, return_index=True)[1]] = True
    return first
