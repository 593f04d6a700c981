"""One worker, one core, where the machine is the service's own.

Python lets one thread of a process compute at a time. Where those of a worker take turns on several cores, each turn
begins with fetching what another core has just written; on one core it is at hand.
"""

import os

from feature_repo.errors import RecommendError

PIN = "RECOMMEND_PIN"


def pin(worker: int) -> None:
    """Keep the calling thread, and those that it starts from now on, on one of the process's cores.

    Those that there are already, as the log's, which mostly wait for a disk, stay free to go elsewhere.

    Args:
        worker: The process's number among the workers, from 1. Workers choose from the last core on, as the first is
            the one that most machines have interrupt.

    Raises:
        RecommendError: the operating system keeps no thread on a core.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise RecommendError(f"{PIN} is set, and only Linux keeps threads on a core: leave it out")
    cores = sorted(os.sched_getaffinity(0))
    core = cores[-(worker - 1) % len(cores) - 1]
    os.sched_setaffinity(0, {core})
