"""What is said in a world, one day after the other, as event tables of indices."""

from collections.abc import Iterator
from itertools import chain

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from feature_repo.chat.events import CHANNEL_LINKS, CHANNELS, MEMBERSHIPS, MENTIONS, MESSAGES, REACTIONS
from feature_repo.chat.sample.contacts import ContactMemory
from feature_repo.chat.sample.conversations import Directory, Talk, converse
from feature_repo.chat.sample.engagement import Links, Mentions, Posts, Reactions, link, mention, react
from feature_repo.chat.sample.memberships import NOBODY
from feature_repo.chat.sample.preferences import ContactPreference
from feature_repo.chat.sample.rhythm import DAY, times_of_day, volume
from feature_repo.chat.sample.roster import Roster
from feature_repo.chat.sample.rows import Batch, Columns, event_rows
from feature_repo.chat.sample.threads import Threads, weave
from feature_repo.chat.sample.world import Setting, World


def days_of_activity(world: World, seed: int) -> Iterator[Batch]:
    """The messages of each day, with their mentions, links and reactions, and the conversations that begin.

    Users and channels are indices; messages and threads are numbered from 1 in order of time.
    """
    rng = np.random.default_rng([seed, 2])
    setting = world.setting
    memory = ContactMemory(setting.population, ContactPreference())
    directory = Directory(next_channel=len(setting.channels))
    threads, said = Threads.none(), 0
    for day in range(setting.days):
        roster = Roster.of(world, day)
        talk = converse(rng, setting, memory, directory, day)
        user, channel, instant = _post(rng, setting, roster, day)
        numbers = said + _ranks(np.concatenate([instant, talk.instant])) + 1
        said += len(numbers)

        opening = Threads(numbers[: len(user)], user, channel, instant)
        thread, opener, threads = weave(rng, setting.population, threads, opening, day)
        posts = Posts(opening.number, user, channel, instant, opener)
        mentions = mention(rng, setting, roster, memory, posts, day)
        reactions = react(rng, setting, roster, posts)
        links = link(rng, setting, roster, posts)
        _remember(memory, posts, mentions, talk)
        yield {
            "messages": _message_rows(
                rng, setting, posts, thread, mentions, links, talk, numbers[len(user) :]
            ),
            "mentions": _mention_rows(setting, posts, mentions),
            "channel_links": _link_rows(setting, posts, links),
            "reactions": _reaction_rows(setting, posts, reactions),
            **_opened_rows(setting, talk),
        }


def _ranks(instants: NDArray[np.int64]) -> NDArray[np.int64]:
    """The place of each instant in order of time, from 0."""
    ranks = np.empty(len(instants), np.int64)
    ranks[np.argsort(instants, kind="stable")] = np.arange(len(instants))
    return ranks


def _post(
    rng: np.random.Generator, setting: Setting, roster: Roster, day: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Author, channel and instant of the day's channel messages, in order of time."""
    people, weekday = setting.population, setting.weekday(day)
    rate = people.activity * volume(people.zone, weekday) * people.present(day)
    user = np.repeat(np.arange(len(people)), rng.poisson(rate))
    user = user[roster.in_some_channel(user)]
    channel = roster.draw_channels(rng, user)
    instant = day * DAY + times_of_day(rng, people.zone[user], weekday)
    order = np.argsort(instant, kind="stable")
    return user[order], channel[order], instant[order]


def _remember(memory: ContactMemory, posts: Posts, mentions: Mentions, talk: Talk) -> None:
    """Every mention that addresses somebody, and every message between two, is a contact."""
    addressed, direct = ~mentions.is_quote, talk.partner >= 0
    post = mentions.post[addressed]
    memory.record(
        np.concatenate([posts.user[post], talk.user[direct]]),
        np.concatenate([mentions.mentioned[addressed], talk.partner[direct]]),
        np.concatenate([posts.instant[post], talk.instant[direct]]),
    )


def _message_rows(
    rng: np.random.Generator,
    setting: Setting,
    posts: Posts,
    thread: NDArray[np.int64],
    mentions: Mentions,
    links: Links,
    talk: Talk,
    talk_numbers: NDArray[np.int64],
) -> pa.Table:
    channel_posts, total = len(posts.user), len(posts.user) + len(talk.user)

    def per_message(post: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.bincount(post, minlength=total)

    length = np.where(np.arange(total) < channel_posts, 4.4, 3.7)
    return event_rows(
        MESSAGES,
        setting.start,
        np.concatenate([posts.instant, talk.instant]),
        {
            "message_id": np.concatenate([posts.number, talk_numbers]),
            "user_id": np.concatenate([posts.user, talk.user]),
            "channel_id": np.concatenate([posts.channel, talk.channel]),
            "thread_id": np.concatenate([thread, np.full(len(talk.user), -1)]),
            "characters": np.ceil(rng.lognormal(length, 0.9)).astype(np.int64),
            "code_blocks": rng.poisson(0.04, total),
            "quotes": per_message(mentions.post[mentions.is_quote]),
            "links": per_message(links.post) + rng.poisson(0.08, total),
            "mentions": per_message(mentions.post[~mentions.is_quote]),
            "attachments": rng.poisson(0.04, total),
        },
    )


def _mention_rows(setting: Setting, posts: Posts, mentions: Mentions) -> pa.Table:
    post = mentions.post
    columns = {"mentioned_user_id": mentions.mentioned, "is_quote": mentions.is_quote, **_about(posts, post)}
    return event_rows(MENTIONS, setting.start, posts.instant[post], columns)


def _link_rows(setting: Setting, posts: Posts, links: Links) -> pa.Table:
    columns = {"linked_channel_id": links.linked, **_about(posts, links.post)}
    return event_rows(CHANNEL_LINKS, setting.start, posts.instant[links.post], columns)


def _reaction_rows(setting: Setting, posts: Posts, reactions: Reactions) -> pa.Table:
    post = reactions.post
    columns = {
        **_about(posts, post),
        "user_id": reactions.user,
        "author_id": posts.user[post],
        "count": reactions.count,
    }
    return event_rows(REACTIONS, setting.start, reactions.instant, columns)


def _about(posts: Posts, post: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    return {"message_id": posts.number[post], "user_id": posts.user[post], "channel_id": posts.channel[post]}


def _opened_rows(setting: Setting, talk: Talk) -> Batch:
    """The conversations that begin and who is put into them, at one and the same instant."""
    opened = talk.opened
    size = [len(o.members) for o in opened]
    creator = np.array([o.members[0] for o in opened], np.int64)
    channel = np.array([o.channel for o in opened], np.int64)
    instant = np.array([o.instant for o in opened], np.int64)
    member = np.fromiter(chain.from_iterable(o.members for o in opened), np.int64)
    added_by = np.repeat(creator, size)
    channels: Columns = {
        "channel_id": channel,
        "creator_id": creator,
        "kind": np.array([o.kind for o in opened], np.int8),
        "is_archived": np.zeros(len(opened), np.bool_),
    }
    memberships: Columns = {
        "user_id": member,
        "channel_id": np.repeat(channel, size),
        "joined": np.ones(len(member), np.bool_),
        "inviter_id": np.where(member == added_by, NOBODY, added_by),
    }
    return {
        "channels": event_rows(CHANNELS, setting.start, instant, channels),
        "memberships": event_rows(MEMBERSHIPS, setting.start, np.repeat(instant, size), memberships),
    }
