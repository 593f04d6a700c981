"""The same visits under two versions in turn, against a real server."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from feature_repo.catalog import recommender
from feature_repo.errors import RecommendError
from feature_repo.home import vault_path
from feature_repo.identity import Vault
from feature_repo.recommender import Recommender
from serving import crossover as played
from serving.crossover import crossover
from serving.replay import Visit
from tests.serving.live_server import Server, eventually
from training import bundle
from training.champion import champion, promote

FIRST = datetime(2025, 8, 2, tzinfo=UTC)
SECOND = FIRST + timedelta(days=2)


@pytest.fixture
def browser(server: Server) -> Iterator[Recommender]:
    """The recommender of whom the server has two versions; what served before serves again at the end."""
    declared = recommender("channel_browser")
    before = champion(declared.name)
    assert before is not None
    yield declared
    promote(declared.name, before.version)
    url = "/v1/recommenders"
    eventually(lambda: before.version in server.http.get(url).text, 10)


def visits(*at: datetime) -> list[Visit]:
    with Vault(vault_path()) as vault:
        (workspace,) = vault.workspaces().values()
        (user,) = vault.lookup(workspace, "user", ["U1"]).tolist()
        (channel,) = vault.lookup(workspace, "channel", ["C249"]).tolist()
    return [Visit(user, instant, {channel: instant + timedelta(days=1)}, ()) for instant in at]


def test_every_version_answers_every_visit_period_by_period(server: Server, browser: Recommender) -> None:
    newer, older = bundle.versions(browser.name)
    begun: list[tuple[datetime, int]] = []
    answered: list[None] = []
    made = visits(FIRST - timedelta(seconds=1), FIRST, SECOND - timedelta(seconds=1), SECOND)
    (first,), (second,) = crossover(
        [(browser, made)],
        [{browser.name: older}, {browser.name: newer}],
        [FIRST, SECOND],
        str(server.http.base_url),
        lambda period: begun.append((period, len(answered))),
        lambda: answered.append(None),
    )
    assert begun == [(FIRST, 0), (SECOND, 6)], "three visits of two versions lie before the second period"
    assert (first.model_versions, second.model_versions) == ((older,), (newer,))
    assert first.users.tolist() == second.users.tolist() == [made[0].query_id] * 4
    assert first.shown.tolist() == [10] * 4
    rates, dcg = second.lifts(first)
    assert rates.value == pytest.approx((second.clicks.sum() - first.clicks.sum()) / 40)
    assert dcg.value == pytest.approx(second.dcg.mean() - first.dcg.mean())


def test_without_versions_what_serves_answers(server: Server, browser: Recommender) -> None:
    serving = champion(browser.name)
    ((result,),) = crossover(
        [(browser, visits(FIRST))], [{}], [FIRST], str(server.http.base_url), lambda period: None
    )
    assert serving is not None
    assert result.model_versions == (serving.version,)
    assert champion(browser.name) == serving


def test_a_service_that_does_not_take_up_a_promotion_is_one_line(
    server: Server, bare_server: Server, browser: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare_server.wait_until_ready()
    monkeypatch.setattr(played, "SWAP_SECONDS", 0.5)
    versions = {browser.name: bundle.versions(browser.name)[0]}
    url = str(bare_server.http.base_url)
    with pytest.raises(RecommendError, match=r"has not taken up channel_browser .*RECOMMEND_HOME") as error:
        crossover([(browser, visits(FIRST))], [versions], [FIRST], url, lambda period: None)
    assert "\n" not in str(error.value)
