"""What serves before anything was promoted, and how files of other processes are followed."""

import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from feature_repo.catalog import recommender
from feature_repo.experiment import Experiment, Variant
from serving import poller
from serving.champions import Champions
from serving.poller import Poller
from tests.state_folder import state_folder

STARTS, ENDS = datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)


def test_an_experiment_may_be_declared_before_anything_is_trained(tmp_path: Path) -> None:
    trees = Variant("trees", 1, version="xgboost")
    experiment = Experiment("trees", (Variant("control", 1), trees), STARTS, ENDS)
    declared = replace(recommender("channel_browser"), experiments=(experiment,))
    with state_folder(tmp_path):
        champions = Champions({declared.name: declared})
        champions.refresh()
        assert champions.current(declared.name).rung == "heuristic"
        arm = champions.serving(declared.name, trees)
    assert (arm.rung, arm.stands_in) == ("heuristic", "variant-unavailable")


def test_a_look_that_fails_is_not_the_last(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(poller, "SECONDS", 0.01)
    looks, again = [0], threading.Event()

    def look() -> None:
        looks[0] += 1
        if looks[0] < 5:
            raise OSError("a folder is gone")
        again.set()

    following = Poller("champions", look)
    following.start()
    assert again.wait(10)
    following.close()
    assert caplog.text.count("champions failed: OSError: a folder is gone") == 1
