"""One worker, one core, where the machine is the service's own.

Python lets one thread of a process compute at a time. Where those of a worker take turns on several cores, each turn
begins with fetching what another core has just written; on one core it is at hand.
"""

import os
import threading

from feature_repo.errors import RecommendError

PIN = "RECOMMEND_PIN"


def pin(worker: int, others: str) -> None:
    """Keep the calling thread, those that it starts from now on, and running ones of a name, on one of the process's cores.

    All others that run already stay free to go elsewhere.

    Args:
        worker: The process's number among the workers, from 1. Workers choose from the last core on, as the first is
            the one that most machines have interrupt.
        others: Name of threads that requests wait for.

    Raises:
        RecommendError: the operating system keeps no thread on a core.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise RecommendError(f"{PIN} is set, and only Linux keeps threads on a core: leave it out")
    cores = sorted(os.sched_getaffinity(0))
    core = cores[-(worker - 1) % len(cores) - 1]
    waited_for = [thread.native_id for thread in threading.enumerate() if thread.name == others]
    for thread_id in (0, *filter(None, waited_for)):  # 0: the calling one
        os.sched_setaffinity(thread_id, {core})
