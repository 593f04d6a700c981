"""An experiment from its declaration to the log, on a server of a domain of its own."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from feature_repo.experiment import Experiment, Variant
from feature_repo.exploration import EpsilonSwap
from feature_repo.home import PROJECT
from feature_repo.identity import Vault
from serving.assignment import assign
from tests.serving.live_server import Server, environment, launch, logged
from tests.serving.small_home import USERS

pytestmark = pytest.mark.slow

STARTS = datetime(2025, 8, 1, tzinfo=UTC)
ENDS = STARTS + timedelta(days=3)
ARMS = Experiment(
    "arms",
    (
        Variant("control", 1.0),
        Variant("newest", 1.0, version="heuristic"),
        Variant("explores", 1.0, exploration=EpsilonSwap(epsilon=1.0, pool=5, regret_budget=1.0)),
        Variant("lost", 1.0, version="nosuchversion"),
    ),
    STARTS,
    ENDS,
)
DECLARED = """
from dataclasses import replace
from tests.serving.test_experiment import ARMS

channel_browser = replace(channel_browser, experiments=(ARMS,))
"""


@pytest.fixture(scope="module")
def arms_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The shipped domain under another name, with the experiment declared; the older of two bundles is promoted."""
    base = tmp_path_factory.mktemp("arms")
    package = base / "workplace_with_arms"
    shutil.copytree(PROJECT / "feature_repo" / "chat", package, ignore=shutil.ignore_patterns("__pycache__"))
    for file in package.rglob("*.py"):
        file.write_text(file.read_text().replace("feature_repo.chat", package.name))
    declaration = package / "recommenders" / "channel_browser.py"
    declaration.write_text(declaration.read_text() + DECLARED)
    shutil.copy(PROJECT / "feature_repo" / "feature_store.yaml", package)
    home = base / "home"
    domain = {"PYTHONPATH": f"{PROJECT}:{base}", "RECOMMEND_DOMAIN": package.name}
    build = [sys.executable, str(Path(__file__).with_name("small_home.py"))]
    built = subprocess.run(
        build, cwd=PROJECT, env=environment(home) | domain, capture_output=True, check=False
    )
    assert built.returncode == 0, built.stderr.decode()
    server = launch(home, more=domain).wait_until_ready()
    yield server
    server.terminate()


def variant(server: Server, user: str) -> Variant:
    with Vault(server.home / "vault.sqlite") as vault:
        (unit,) = vault.lookup(vault.workspace("acme"), "user", [user]).tolist()
    return assign(ARMS, unit)


def test_every_user_is_answered_by_their_arm_and_the_log_says_so(
    arms_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECOMMEND_HOME", str(arms_server.home))
    outside = arms_server.recommend("U1", as_of=ENDS.isoformat())
    assert (outside["experiment"], outside["variant"]) == (None, "champion")
    seen = set()
    for user in USERS:
        arm = variant(arms_server, user)
        seen.add(arm.name)
        champion = arms_server.recommend(user, as_of=ENDS.isoformat(), limit=5)
        answers = [arms_server.recommend(user, as_of="2025-08-02", limit=5) for _ in range(6)]
        assert {(a["experiment"], a["variant"]) for a in answers} == {("arms", arm.name)}
        rows = logged("impressions", answers[0]["request_id"], 5)
        assert {r["variant"] for r in rows} == {f"arms/{arm.name}"}
        shown = [[i["id"] for i in a["items"]] for a in answers]
        best = [i["id"] for i in champion["items"]]
        propensities = [i["propensity"] for i in answers[0]["items"]]
        logged_propensities = [r["propensity"] for r in sorted(rows, key=lambda r: r["position"])]
        assert logged_propensities == pytest.approx(propensities)
        if arm.name == "control":
            assert shown == [best] * 6
        elif arm.name == "lost":
            assert shown == [best] * 6
            assert "variant-unavailable" in answers[0]["warnings"]
        elif arm.name == "newest" and champion["rung"] != "popularity":
            assert shown[0] != best
            assert answers[0]["model_version"] != champion["model_version"]
        elif arm.name == "explores":
            assert all(len(set(best) - set(s)) == 1 for s in shown), "one of five gives way each time"
            assert len({tuple(s) for s in shown}) > 1
            assert sorted({round(p, 6) for p in propensities}) == [round(1 / 25, 6), 0.8]
    assert len(seen) > 1
    assert "an experiment on channel_browser names nosuchversion" in arms_server.said()


def test_a_stranger_takes_part_in_no_experiment(arms_server: Server) -> None:
    answer = arms_server.recommend("nobody we know", as_of="2025-08-02")
    assert (answer["experiment"], answer["variant"], answer["rung"]) == (None, "champion", "popularity")
