"""A worker that is kept on a core."""

import os
import threading
from pathlib import Path

import psutil
import pytest

from serving.cores import pin
from tests.serving.live_server import Server
from tests.serving.load import copy_of, service_on, worker_of

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="only Linux keeps threads on a core"
)


def test_workers_take_the_cores_in_turn_from_the_last_on() -> None:
    cores, found = sorted(os.sched_getaffinity(0)), []

    def of(worker: int) -> None:
        pin(worker, "nobody")
        found.append(os.sched_getaffinity(0))

    for worker in range(1, 2 * len(cores) + 1):
        thread = threading.Thread(target=of, args=(worker,))
        thread.start()
        thread.join()
    assert found == [{core} for core in reversed(cores)] * 2
    assert os.sched_getaffinity(0) == set(cores), "other threads stay where they are"


def test_running_threads_of_the_name_are_kept_as_well() -> None:
    done = threading.Event()
    threads = {name: threading.Thread(target=done.wait, name=name) for name in ("waited for", "another")}
    for thread in threads.values():
        thread.start()
    caller = threading.Thread(target=pin, args=(1, "waited for"))
    caller.start()
    caller.join()
    found = {name: os.sched_getaffinity(thread.native_id or 0) for name, thread in threads.items()}
    done.set()
    cores = os.sched_getaffinity(0)
    assert found == {"waited for": {max(cores)}, "another": cores}


def test_the_event_loop_and_the_ranking_thread_share_a_core(server: Server, tmp_path: Path) -> None:
    if len(os.sched_getaffinity(0)) == 1:
        pytest.skip("this machine has one core")
    with service_on(copy_of(server, tmp_path / "home"), more={"RECOMMEND_PIN": "1"}) as running:
        assert not running.recommend()["degraded"]
        worker = worker_of(running)
        kept = [t for t in threads(worker) if len(os.sched_getaffinity(t)) == 1]
        assert worker.pid in kept
        assert len(kept) >= 2
        assert len({frozenset(os.sched_getaffinity(t)) for t in kept}) == 1
        assert len(threads(worker)) > len(kept), "the log's sync and rotation are free"


def threads(process: psutil.Process) -> list[int]:
    return [thread.id for thread in process.threads()]
