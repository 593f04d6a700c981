"""How much the log may cost: waits, sizes and intervals."""

import os
from dataclasses import dataclass
from typing import Self

from feature_repo.errors import RecommendError

SYNC_VARIABLE, BUDGET_VARIABLE = "RECOMMEND_LOG_SYNC", "RECOMMEND_LOG_BUDGET_MS"


@dataclass(frozen=True)
class Settings:
    """All times in seconds.

    Args:
        sync_answers: Whether an answer waits until its rows have been synced to the disk, not only written.
        budget: How long an answer waits for its rows at most.
        outcome_budget: How long a batch of outcomes waits for its sync, before its sender is told to try again.
        sync_seconds: How long written rows may wait for company before they are synced, if nobody waits for it.
        rotate_seconds: How long the first segment of a day is written to, before its rows go into Parquet.
        rotate_growth: By what share of that it is longer for each file that the day has already, so that under traffic
            without end a day has some thousands of files, and not tens of thousands.
        rotate_share: The share of one core that making Parquet may take: rotation slows down to keep it.
        retry_seconds: How long to wait before trying again what the disk refused.
        recover_seconds: How often to look for what other processes left behind.
        backlog_bytes: Rows kept in memory for a disk that does not take them.
        segment_bytes: A segment that is larger is rotated at once: Parquet is made of it in memory.
    """

    sync_answers: bool = False
    budget: float = 0.020
    outcome_budget: float = 2.0
    sync_seconds: float = 0.030
    rotate_seconds: float = 1.0
    rotate_growth: float = 0.01
    rotate_share: float = 0.05
    retry_seconds: float = 0.5
    recover_seconds: float = 10.0
    backlog_bytes: int = 64 << 20
    segment_bytes: int = 16 << 20

    @classmethod
    def from_environment(cls) -> Self:
        """The defaults, but for what ``RECOMMEND_LOG_SYNC`` and ``RECOMMEND_LOG_BUDGET_MS`` say.

        Raises:
            RecommendError: a variable holds something else than it may.
        """
        sync = os.environ.get(SYNC_VARIABLE) or "write"
        if sync not in ("write", "answer"):
            raise RecommendError(
                f"{SYNC_VARIABLE} is {sync!r}: set it to write (an answer waits until its rows are written) "
                "or answer (until they are synced to the disk)"
            )
        text = os.environ.get(BUDGET_VARIABLE) or "20"
        if not text.isdecimal() or int(text) > 10_000:
            raise RecommendError(f"{BUDGET_VARIABLE} is {text!r}: set it to milliseconds from 0 to 10000")
        return cls(sync_answers=sync == "answer", budget=int(text) / 1000)
