"""What is remembered of events, against a list of all of them."""

from concurrent.futures import Future

from hypothesis import given, settings
from hypothesis import strategies as st

from serving.event_ids import EventIds

IDS = st.integers(0, 200)
BATCHES = st.lists(st.tuples(st.lists(IDS, min_size=1, max_size=60, unique=True), st.booleans()))


@given(before=st.lists(IDS, unique=True), batches=BATCHES, most=st.integers(1, 60))
@settings(deadline=None)
def test_the_latest_ids_that_reached_the_disk_are_known_and_old_ones_are_not(
    before: list[int], batches: list[tuple[list[int], bool]], most: int
) -> None:
    ids, safe = EventIds(before, most), list(before)
    for sent, reaches_disk in batches:
        fresh = [id_ for id_ in sent if ids.logging(id_) is None]
        assert not set(fresh) & set(safe[-most:])
        done: Future[bool] = Future()
        ids.add(fresh, done)
        assert all(ids.logging(id_) is done for id_ in fresh)
        done.set_result(reaches_disk)
        if reaches_disk:
            safe += fresh
        known = [ids.logging(id_) for id_ in range(201)]
        assert all(found is None or found.result() for found in known)
        remembered = {id_ for id_, found in enumerate(known) if found is not None}
        assert set(safe[-most:]) <= remembered <= set(safe)
        assert len(remembered) <= most + max(most // 10, 2)
