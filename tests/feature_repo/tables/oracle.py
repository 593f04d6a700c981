"""What every number of a snapshot should be, counted event by event in plain Python."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from itertools import combinations, pairwise
from math import log1p, sqrt

from feature_repo.chat.events import DM, GROUP_DM, PUBLIC
from feature_repo.clock import midnight
from tests.feature_repo.tables.workspace import Workspace
from tests.hand_made import Row

Pair = tuple[int, int]
Expected = dict[tuple[int, ...], dict[str, float | None]]
Spell = tuple[datetime, datetime | None]


@dataclass(frozen=True)
class Oracle:
    """One workspace as it looks at the midnight that begins ``day``.

    Every table is a dictionary from a row's key to its features.
    """

    workspace: Workspace
    day: date

    def _age(self, at: datetime) -> int:
        return (self.day - at.date()).days

    def _within(self, rows: list[Row], days: int) -> list[Row]:
        return [r for r in rows if 1 <= self._age(r["at"]) <= days]

    def _days_since(self, instants: list[datetime]) -> float | None:
        if not instants:
            return None
        return (midnight(self.day).timestamp() - int(max(instants).timestamp())) / 86_400

    @cached_property
    def _bot_since(self) -> dict[int, datetime]:
        since: dict[int, datetime] = {}
        for r in self.workspace.rows["users"]:
            if r["is_bot"]:
                since[r["user_id"]] = min(r["at"], since.get(r["user_id"], r["at"]))
        return since

    def _is_bot(self, user: int) -> bool:
        return user in self._bot_since and self._bot_since[user] < midnight(self.day)

    def _by_people(self, table: str) -> list[Row]:
        rows = self.workspace.rows[table]
        bots = self._bot_since
        return [r for r in rows if r["user_id"] not in bots or r["at"] < bots[r["user_id"]]]

    @cached_property
    def _messages(self) -> list[Row]:
        return self._by_people("messages")

    def _is_direct(self, message: Row) -> bool:
        return any(
            r["kind"] in (GROUP_DM, DM) and r["at"] <= message["at"]
            for r in self.workspace.rows["channels"]
            if r["channel_id"] == message["channel_id"]
        )

    @cached_property
    def _posts(self) -> list[Row]:
        return [m for m in self._messages if not self._is_direct(m)]

    @cached_property
    def _mentions(self) -> list[Row]:
        return [m for m in self._by_people("mentions") if not m["is_quote"]]

    def posted(self, days: int) -> Counter[Pair]:
        """Messages by user and channel."""
        rows = self._within(self._posts, days)
        return Counter((r["user_id"], r["channel_id"]) for r in rows if not self._is_bot(r["user_id"]))

    @cached_property
    def spells(self) -> dict[Pair, list[Spell]]:
        """From when to when each user was in each channel."""
        acts: dict[Pair, list[tuple[datetime, bool]]] = defaultdict(list)
        for r in self._by_people("memberships"):
            acts[r["user_id"], r["channel_id"]].append((r["at"], r["joined"]))
        for r in self._messages:
            acts[r["user_id"], r["channel_id"]].append((r["at"], True))
        found: dict[Pair, list[Spell]] = {}
        for pair, changes in acts.items():
            since, stays = None, []
            for at, joined in sorted(changes):
                if joined and since is None:
                    since = at
                elif not joined and since is not None:
                    stays.append((since, at))
                    since = None
            found[pair] = stays if since is None else [*stays, (since, None)]
        return found

    @cached_property
    def members(self) -> dict[Pair, datetime]:
        """Who is in which channel, and since when."""
        end = midnight(self.day)
        return {
            pair: since
            for pair, stays in self.spells.items()
            for since, until in stays
            if since < end and (until is None or until >= end) and not self._is_bot(pair[0])
        }

    @cached_property
    def channels(self) -> dict[int, tuple[int, bool, datetime]]:
        """Kind, whether archived, and first instant of each channel known before the day."""
        rows = sorted(self.workspace.rows["channels"], key=lambda r: r["at"])
        found: dict[int, tuple[int, bool, datetime]] = {}
        for r in rows:
            if r["at"] < midnight(self.day):
                created = found[r["channel_id"]][2] if r["channel_id"] in found else r["at"]
                found[r["channel_id"]] = (r["kind"], bool(r.get("is_archived")), created)
        return found

    @cached_property
    def public(self) -> set[int]:
        """Channels that anybody may join."""
        return {c for c, (kind, archived, _) in self.channels.items() if kind == PUBLIC and not archived}

    def user_activity(self) -> Expected:
        """Keyed by user."""
        joins = [r for r in self._by_people("memberships") if r["joined"]]
        acts = [*self._messages, *self._by_people("reactions"), *joins]
        people = {r["user_id"] for r in self._within(acts, 90)}
        return {(u,): self._user(u, acts) for u in people if not self._is_bot(u)}

    def _user(self, user: int, acts: list[Row]) -> dict[str, float | None]:
        def of(rows: list[Row], column: str = "user_id") -> list[Row]:
            return [r for r in rows if r[column] == user]

        posts, made, received = of(self._posts), of(self._mentions), of(self._mentions, "mentioned_user_id")
        wrote = bool(self._within(posts, 90))
        talked = bool(self._within([*made, *received], 90))
        reactions = self._within(self._by_people("reactions"), 30)
        given, got = of(reactions), of(reactions, "author_id")
        stays = [since for (u, _), since in self.members.items() if u == user]
        within = self._within
        return {
            **{f"active_days_{n}d": len({r["at"].date() for r in within(of(acts), n)}) for n in (30, 90)},
            **{f"messages_{n}d": len(within(posts, n)) if wrote else None for n in (7, 30, 90)},
            **{
                f"channels_{n}d": len({r["channel_id"] for r in within(posts, n)}) if wrote else None
                for n in (30, 90)
            },
            "threads_30d": len({r["thread_id"] for r in within(posts, 30)} - {None}) if wrote else None,
            "days_since_message": self._days_since([r["at"] for r in within(posts, 90)]),
            "mentions_made_30d": len(within(made, 30)) if talked else None,
            **{f"mentions_received_{n}d": len(within(received, n)) if talked else None for n in (30, 90)},
            "reactions_made_30d": sum(r["count"] for r in given) if given or got else None,
            "reactions_received_30d": sum(r["count"] for r in got) if given or got else None,
            "channels_joined": len(stays) or None,
            "tenure_days": self._days_since([min(stays)]) if stays else None,
        }

    def channel_activity(self) -> Expected:
        """Keyed by channel."""
        return {(c,): self._channel(c) for c in self.public}

    def _channel(self, channel: int) -> dict[str, float | None]:
        posted = {n: {u: k for (u, c), k in self.posted(n).items() if c == channel} for n in (7, 30, 90)}
        posts = [
            r["at"]
            for r in self._within(self._posts, 90)
            if r["channel_id"] == channel and not self._is_bot(r["user_id"])
        ]
        entered = [
            {"at": since} for (_, c), stays in self.spells.items() if c == channel for since, _ in stays
        ]
        links = [r for r in self._by_people("channel_links") if r["linked_channel_id"] == channel]
        reactions = [r for r in self._by_people("reactions") if r["channel_id"] == channel]
        members = sum(c == channel for _, c in self.members)
        new = bool(self._within(entered, 90))
        return {
            **{f"messages_{n}d": sum(posted[n].values()) if posts else None for n in (7, 30, 90)},
            **{f"posters_{n}d": len(posted[n]) if posts else None for n in (7, 30, 90)},
            "days_since_message": self._days_since(posts),
            **{f"newcomers_{n}d": len(self._within(entered, n)) if new else None for n in (7, 30, 90)},
            "links_30d": len(self._within(links, 30)) or None,
            "reactions_30d": sum(r["count"] for r in self._within(reactions, 30)) or None,
            "members": members or None,
            "age_days": self._days_since([self.channels[channel][2]]),
        }

    def _replies(self) -> Iterator[Row]:
        threads: dict[Pair, list[Row]] = defaultdict(list)
        for m in self._messages:
            if m["thread_id"] is not None:
                threads[m["channel_id"], m["thread_id"]].append(m)
        for thread in threads.values():
            for asked, answer in pairwise(sorted(thread, key=lambda m: (m["at"], m["message_id"]))):
                if int(answer["at"].timestamp()) - int(asked["at"].timestamp()) <= 86_400:
                    yield answer | {"peer_id": asked["user_id"]}

    def _directs(self) -> Iterator[Row]:
        for m in filter(self._is_direct, self._messages):
            for (user, channel), stays in self.spells.items():
                if channel == m["channel_id"]:
                    for since, until in stays:
                        if since <= m["at"] and (until is None or m["at"] < until):
                            yield m | {"peer_id": user}

    def _threads(self) -> Iterator[Row]:
        places: dict[tuple[object, ...], dict[int, datetime]] = defaultdict(dict)
        for m in self._posts:
            if m["thread_id"] is not None:
                last = places[m["at"].date(), m["channel_id"], m["thread_id"]]
                last[m["user_id"]] = max(m["at"], last.get(m["user_id"], m["at"]))
        for last in places.values():
            for one, other in combinations(last, 2):
                at = max(last[one], last[other])
                yield {"at": at, "user_id": one, "peer_id": other}
                yield {"at": at, "user_id": other, "peer_id": one}

    def user_user_affinity(self) -> Expected:
        """Keyed by user and peer."""
        acts = {
            "mentions": [m | {"peer_id": m["mentioned_user_id"]} for m in self._mentions],
            "replies": list(self._replies()),
            "directs": list(self._directs()),
            "reactions": [r | {"peer_id": r["author_id"]} for r in self._by_people("reactions")],
            "threads": list(self._threads()),
        }
        toward: dict[str, dict[Pair, list[datetime]]] = {name: defaultdict(list) for name in acts}
        for name, rows in acts.items():
            for r in self._within(rows, 90):
                if r["user_id"] != r["peer_id"]:
                    toward[name][r["user_id"], r["peer_id"]].append(r["at"])
        pairs = {p for by_pair in toward.values() for p in by_pair}
        met = pairs | {(b, a) for a, b in pairs}
        channels = self._shared_channels()
        return {
            pair: self._pair(pair, toward, pair in met) | {"shared_channels_90d": channels.get(pair)}
            for pair in met | set(channels)
            if not any(map(self._is_bot, pair))
        }

    def _pair(
        self, pair: Pair, toward: dict[str, dict[Pair, list[datetime]]], met: bool
    ) -> dict[str, float | None]:
        made = {name: by_pair.get(pair, []) for name, by_pair in toward.items()}
        received = {name: by_pair.get(pair[::-1], []) for name, by_pair in toward.items()}

        def count(instants: list[datetime], days: int) -> int | None:
            return sum(self._age(at) <= days for at in instants) if met else None

        def last(sides: dict[str, list[datetime]]) -> float | None:
            return self._days_since([at for n, ats in sides.items() if n != "threads" for at in ats])

        directs = made["directs"] + received["directs"]
        sides = (("made", made), ("received", received))
        return {
            **{f"mentions_{s}_{n}d": count(side["mentions"], n) for s, side in sides for n in (7, 30, 90)},
            **{f"replies_{s}_{n}d": count(side["replies"], n) for s, side in sides for n in (30, 90)},
            **{f"direct_messages_{n}d": count(directs, n) for n in (30, 90)},
            **{f"reactions_{s}_90d": count(side["reactions"], 90) for s, side in sides},
            **{f"shared_threads_{n}d": count(made["threads"], n) for n in (7, 30, 90)},
            "days_since_contact_made": last(made),
            "days_since_contact_received": last(received),
            "days_since_shared_thread": self._days_since(made["threads"]),
        }

    def _shared_channels(self) -> dict[Pair, float]:
        posters: dict[int, list[int]] = defaultdict(list)
        for user, channel in self.posted(90):
            posters[channel].append(user)
        shared: dict[Pair, float] = defaultdict(float)
        for people in posters.values():
            for one, other in combinations(people, 2):
                shared[one, other] += 1 / log1p(len(people))
                shared[other, one] += 1 / log1p(len(people))
        return shared

    def user_channel_affinity(self) -> Expected:
        """Keyed by user and channel."""
        active = {u for (u,) in self.user_activity()}
        inside = {pair for pair in self.members if pair[0] in active}
        comembership, neighbours, touched = self._comembership(inside), self._neighbours(), self._touches()
        keys = {*comembership, *neighbours, *touched}
        nothing = dict.fromkeys(next(iter(touched.values())))
        return {
            key: {
                "comembership": comembership.get(key),
                "neighbours_30d": len(neighbours[key]) if key in neighbours else None,
                "neighbour_strength": sum(neighbours[key]) if key in neighbours else None,
                **touched.get(key, nothing),
                "is_member": key in inside,
            }
            for key in keys
            if key[1] in self.public
        }

    def _comembership(self, inside: set[Pair]) -> dict[Pair, float]:
        of: dict[int, set[int]] = defaultdict(set)
        for user, channel in inside:
            if channel in self.channels and self.channels[channel][0] not in (GROUP_DM, DM):
                of[channel].add(user)
        score: dict[Pair, float] = defaultdict(float)
        for to in self.public & set(of):
            for channel in set(of) - {to}:
                if both := len(of[channel] & of[to]):
                    for user in of[channel] - of[to]:
                        score[user, to] += both / sqrt(len(of[channel]) * len(of[to]))
        return score

    def _neighbours(self) -> dict[Pair, list[float]]:
        weights = {
            "mentions_made_90d": 2,
            "direct_messages_90d": 2,
            "replies_made_90d": 1,
            "shared_threads_90d": 1,
            "mentions_received_90d": 1,
        }
        strength: dict[int, list[tuple[float, int]]] = defaultdict(list)
        for (user, peer), row in self.user_user_affinity().items():
            close = sum(w * log1p(row[name] or 0) for name, w in weights.items())
            if close > 0:
                strength[user].append((-close, peer))
        found: dict[Pair, list[float]] = defaultdict(list)
        wrote = self.posted(30)
        for user, people in strength.items():
            for close, peer in sorted(people)[:20]:
                for (poster, channel), messages in wrote.items():
                    if poster == peer:
                        found[user, channel].append(-close * log1p(messages))
        return found

    def _touches(self) -> dict[Pair, dict[str, float | None]]:
        acts: dict[str, Callable[[Row], Pair]] = {
            "mentions_received": lambda r: (r["mentioned_user_id"], r["channel_id"]),
            "links_made": lambda r: (r["user_id"], r["linked_channel_id"]),
            "reactions_made": lambda r: (r["user_id"], r["channel_id"]),
            "messages": lambda r: (r["user_id"], r["channel_id"]),
        }
        rows = {
            "mentions_received": self._mentions,
            "links_made": self._by_people("channel_links"),
            "reactions_made": self._by_people("reactions"),
            "messages": self._posts,
        }
        at: dict[Pair, dict[str, list[datetime]]] = defaultdict(lambda: {name: [] for name in acts})
        for name, pair_of in acts.items():
            for r in self._within(rows[name], 90):
                at[pair_of(r)][name].append(r["at"])
        return {
            pair: {
                **{f"messages_{n}d": sum(self._age(t) <= n for t in by_act["messages"]) for n in (7, 30, 90)},
                **{f"{name}_90d": len(by_act[name]) for name in acts if name != "messages"},
                "days_since_touch": self._days_since([t for ats in by_act.values() for t in ats]),
            }
            for pair, by_act in at.items()
            if not self._is_bot(pair[0])
        }
