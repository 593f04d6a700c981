"""Page tokens say again what was put into them, to nobody else, and nothing that was changed."""

from hypothesis import given
from hypothesis import strategies as st

from serving.page_token import own_key, seal, unseal

SECRET = bytes(range(32))
KEY = own_key(SECRET, "channel_browser", "U7")
ids = st.sets(st.integers(1, 2**62), min_size=1, max_size=60)
near = st.integers(1, 2**20).flatmap(
    lambda workspace: st.sets(
        st.integers(0, 5000).map(lambda n: (workspace << 40) + n), min_size=1, max_size=60
    )
)


@given(ids | near, st.text())
def test_what_was_sealed_comes_back(shown: set[int], asker: str) -> None:
    key = own_key(SECRET, "channel_browser", asker)
    assert unseal(key, seal(key, shown)) == tuple(sorted(shown))


@given(near, st.data())
def test_no_other_token_is_taken(shown: set[int], data: st.DataObject) -> None:
    token = seal(KEY, shown)
    assert unseal(own_key(SECRET, "channel_browser", "U8"), token) is None
    assert unseal(own_key(SECRET, "composer_dm", "U7"), token) is None
    assert unseal(own_key(bytes(32), "channel_browser", "U7"), token) is None
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from("AZaz09-_"))
    changed = token[:place] + other + token[place + 1 :]
    assert unseal(KEY, changed) in (None, tuple(sorted(shown)))
    assert unseal(KEY, token[:place]) is None


@given(st.text(max_size=80))
def test_any_text_is_answered(text: str) -> None:
    assert unseal(KEY, text) is None


def test_a_token_of_many_near_ids_is_short() -> None:
    shown = [(1 << 40) + 3 * n for n in range(1000)]
    assert len(seal(KEY, shown)) < 1500
