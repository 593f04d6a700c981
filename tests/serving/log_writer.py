"""A process that appends until it is killed, and prints the id of each row once it is acknowledged.

Arguments: the log's folder, and the first id. ``i N`` is an answer of three items, ``o N`` an outcome.
"""

import os
import sys
import threading
from itertools import count
from pathlib import Path

from feature_repo.events import IMPRESSIONS, OUTCOMES
from serving.event_log import EventLog, Settings
from serving.faults import Faults
from tests.serving.log_rows import impressions, outcomes

EAGER = Settings(rotate_seconds=0.03, rotate_share=1.0, recover_seconds=0.1, sync_seconds=0.01)
"""Rotates all the time, so that a kill meets it at all its steps."""


def answer(log: EventLog, first: int) -> None:
    """Answers, one after the other."""
    for number in count(first):
        if log.append(IMPRESSIONS, impressions(number, rows=3)).result():
            os.write(1, f"i {number}\n".encode())


def act(log: EventLog, first: int) -> None:
    """Outcomes, one after the other."""
    for number in count(first):
        if log.append_synced(OUTCOMES, outcomes([number])).result():
            os.write(1, f"o {number}\n".encode())


if __name__ == "__main__":
    running = EventLog(Path(sys.argv[1]), Faults(), EAGER)
    start = int(sys.argv[2])
    for k in (1, 2):
        threading.Thread(target=act, args=(running, start + k * 1_000_000)).start()
    answer(running, start)
