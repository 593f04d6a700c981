"""The verbs of a backend: the same over LMDB and Redis."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_repo.stores.errors import StoreUnavailable
from feature_repo.stores.packed.backends import Backend
from feature_repo.stores.packed.backends.lmdb import LmdbBackend, open_lmdb
from feature_repo.stores.packed.backends.redis import ROWS_A_CALL
from feature_repo.stores.packed.connection import open_backend
from feature_repo.stores.packed.layout import NO_TIME
from feature_repo.stores.packed.online_store import PackedOnlineStoreConfig
from tests.redis_server import RedisServer


@pytest.fixture
def backend(online: dict[str, Any]) -> Backend:
    """An empty one of each."""
    return open_backend(PackedOnlineStoreConfig(**online), None)


def row(event: int, created: int = NO_TIME, content: bytes = b"") -> bytes:
    """Just what the backends look at."""
    return np.array([0, event, created], "<i8").tobytes() + content


def test_what_is_read_is_in_the_order_asked(backend: Backend) -> None:
    backend.upsert([b"a", b"c"], [row(1), row(2)])
    assert backend.read([b"c", b"b", b"a", b"c"]) == [row(2), None, row(1), row(2)]
    assert backend.read([]) == []


_TIMES = st.integers(-3, 3)
_CREATED = st.just(NO_TIME) | _TIMES
_WRITES = st.lists(st.lists(st.tuples(st.sampled_from("abcd"), _TIMES, _CREATED), max_size=6), max_size=5)


@given(_WRITES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_newest_row_stays_whatever_the_order(
    backend: Backend, writes: list[list[tuple[str, int, int]]]
) -> None:
    backend.delete_prefix(b"")
    newest: dict[bytes, tuple[tuple[int, int], bytes]] = {}
    for n, batch in enumerate(writes):
        keys, rows = [], []
        for m, (name, event, created) in enumerate(batch):
            keys.append(name.encode())
            rows.append(row(event, created, bytes([n, m])))
            held = newest.get(keys[-1])
            if held is None or (event, created) >= held[0]:
                newest[keys[-1]] = ((event, created), rows[-1])
        backend.upsert(keys, rows)
    assert backend.read(list(newest)) == [stored for _, stored in newest.values()]


def test_more_rows_than_one_call_takes(backend: Backend) -> None:
    keys = [b"%06d" % n for n in range(2 * ROWS_A_CALL + 1)]
    assert backend.upsert(keys, [row(1)] * len(keys)) == len(keys)
    assert backend.read(keys) == [row(1)] * len(keys)
    assert backend.upsert(keys, [row(0)] * len(keys)) == 0


def test_a_damaged_row_is_replaced(backend: Backend) -> None:
    backend.put(b"a", b"short")
    assert backend.upsert([b"a"], [row(-5)]) == 1
    assert backend.read([b"a"]) == [row(-5)]


def test_prefixes_are_bytes_not_patterns(backend: Backend) -> None:
    others = [b"ab", b"\xff\xffz", b"*", b"[a]"]
    backend.upsert([b"*?[a]\\x", b"*?[a]\\y", *others], [row(1)] * 6)
    assert backend.delete_prefix(b"*?[a]\\") == 2
    assert None not in backend.read(others)
    assert backend.delete_prefix(b"\xff\xff") == 1
    assert backend.delete_prefix(b"nothing") == 0


def test_closing_twice_and_opening_again(backend: Backend) -> None:
    backend.upsert([b"a"], [row(1)])
    backend.close()
    backend.close()
    assert backend.read([b"a"]) == [row(1)]


def test_the_map_grows_by_itself(tmp_path: Path) -> None:
    backend = LmdbBackend(tmp_path, 64 * 1024)
    keys = [b"%05d" % n for n in range(20_000)]
    assert backend.upsert(keys, [row(1, 1, b"x" * 100)] * len(keys)) == len(keys)
    assert (tmp_path / "data.mdb").stat().st_size > 64 * 1024
    assert backend.read(keys[-1:]) == [row(1, 1, b"x" * 100)]


_GROWER = """
import lmdb, sys
with lmdb.open(sys.argv[1], map_size=1 << 30) as environment, environment.begin(write=True) as transaction:
    transaction.cursor().putmulti([(b"%05d" % n, bytes(200)) for n in range(20_000)])
"""


def test_a_reader_follows_a_map_that_another_process_has_grown(tmp_path: Path) -> None:
    backend = LmdbBackend(tmp_path, 64 * 1024)
    backend.upsert([b"first"], [row(1)])
    subprocess.run([sys.executable, "-c", _GROWER, str(tmp_path)], check=True)
    assert backend.read([b"first", b"19999"]) == [row(1), bytes(200)]
    backend.upsert([b"last"], [row(2)])
    assert backend.read([b"last"]) == [row(2)]


_WRITER = """
import sys; from pathlib import Path
import numpy as np
from feature_repo.stores.packed.backends.lmdb import LmdbBackend
backend = LmdbBackend(Path(sys.argv[1]), 1 << 30)
keys = [b"%03d" % n for n in range(500)]
for turn in range(1, 60):
    head = np.array([0, turn, turn], "<i8").tobytes()
    backend.upsert(keys, [head + bytes([turn]) * 400] * 500)
"""


def test_readers_see_a_batch_whole_or_not_at_all(
    tmp_path: Path, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    backend = LmdbBackend(tmp_path, 1 << 30)
    keys = [b"%03d" % n for n in range(500)]
    writer = subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path)])
    wait_until(lambda: backend.read(keys[:1]) != [None])
    seen = set()
    while writer.poll() is None:
        rows = backend.read(keys)
        assert len(set(rows)) == 1
        assert rows[0] is not None
        seen.add(rows[0][24])
        assert rows[0][24:] == bytes([rows[0][24]]) * 400
    assert writer.returncode == 0
    assert len(seen) > 1


def test_a_fork_opens_its_own(tmp_path: Path) -> None:
    backend = open_lmdb(tmp_path, 1 << 26)
    backend.upsert([b"a"], [row(1)])
    child = os.fork()
    if not child:
        code = 1
        try:
            backend.upsert([b"b"], [row(2)])
            code = 0 if backend.read([b"a", b"b"]) == [row(1), row(2)] else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert backend.read([b"a", b"b"]) == [row(1), row(2)]


def test_one_folder_is_opened_once(tmp_path: Path) -> None:
    assert open_lmdb(tmp_path / "x", 1 << 20) is open_lmdb(tmp_path / "y" / ".." / "x", 1 << 20)


def test_a_place_that_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match=r"the online store in .*file"):
        LmdbBackend(tmp_path / "file", 1 << 20).read([b"a"])


def test_a_file_that_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(b"no store" * 2000)
    with pytest.raises(StoreUnavailable, match="the online store in"):
        LmdbBackend(tmp_path, 1 << 20).read([b"a"])


def test_a_full_disk_keeps_the_rows_that_were_there(tmp_path: Path) -> None:
    """A limit on the size of files stands in for the disk: the write fails inside LMDB just the same."""
    script = f"""
import resource, signal; from pathlib import Path
from feature_repo.stores.packed.backends.lmdb import LmdbBackend
from feature_repo.stores.errors import StoreUnavailable
backend = LmdbBackend(Path({str(tmp_path)!r}), 1 << 30)
backend.upsert([b"a"], [bytes(24)])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    backend.upsert([b"%05d" % n for n in range(20_000)], [bytes(200)] * 20_000)
except StoreUnavailable as error:
    print("refused:", error)
print(backend.read([b"a", b"00000"]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    refused, read = done.stdout.splitlines()
    assert refused.startswith("refused: the online store in")
    assert read == str([bytes(24), None])


def test_redis_gone_is_a_typed_error_and_comes_back(own_redis: RedisServer) -> None:
    settings_ = PackedOnlineStoreConfig(backend="redis", port=own_redis.port)
    backend = open_backend(settings_, None)
    backend.upsert([b"a"], [row(1)])
    own_redis.stop()
    for verb in (
        lambda: backend.read([b"a"]),
        lambda: backend.upsert([b"a"], [row(1)]),
        lambda: backend.put(b"a", b"x"),
        lambda: backend.delete_prefix(b"a"),
    ):
        with pytest.raises(StoreUnavailable, match=f"Redis at localhost:{own_redis.port}"):
            verb()
    own_redis.start()
    assert backend.upsert([b"a"], [row(2)]) == 1
    assert backend.read([b"a"]) == [row(2)]


@pytest.mark.parametrize("form", ["localhost:{port},db=2", "redis://localhost:{port}/2"])
def test_connection_strings_of_both_forms(running_redis: RedisServer, form: str) -> None:
    text = form.format(port=running_redis.port)
    named = open_backend(PackedOnlineStoreConfig(backend="redis", connection_string=text), None)
    fields = open_backend(PackedOnlineStoreConfig(backend="redis", port=running_redis.port, db=2), None)
    named.put(b"k", b"v")
    assert fields.read([b"k"]) == [b"v"]


def test_a_wrong_password_is_a_typed_error_without_it(running_redis: RedisServer) -> None:
    settings_ = PackedOnlineStoreConfig(
        backend="redis", port=running_redis.port, username="nobody", password="hunter2"
    )
    with pytest.raises(StoreUnavailable) as caught:
        open_backend(settings_, None).read([b"a"])
    assert "hunter2" not in str(caught.value) + str(settings_)


def test_lmdb_itself_can_read_what_is_written(tmp_path: Path) -> None:
    backend = LmdbBackend(tmp_path, 1 << 20)
    backend.upsert([b"b", b"a"], [row(2), row(1)])
    backend.close()
    with lmdb.open(str(tmp_path), readonly=True) as environment, environment.begin() as transaction:
        assert list(transaction.cursor()) == [(b"a", row(1)), (b"b", row(2))]
