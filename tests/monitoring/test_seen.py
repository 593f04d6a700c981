"""An outcome of another name than the recommender's own, such as ``seen``, is no click."""

from datetime import timedelta
from pathlib import Path

from feature_repo.events import IMPRESSIONS, OUTCOMES
from feature_repo.home import log_path
from feature_repo.recommender import Recommender
from monitoring.log import open_log
from monitoring.online import Attribution, attribution, online_metrics
from tests.monitoring.traffic import START, impression, outcome, write_events


def test_what_came_into_view_is_no_click(home: Path, recommender: Recommender) -> None:
    shown = [impression(recommender.name, candidate_id=n, position=n) for n in range(1, 11)]
    seen = [outcome(row, "seen", timedelta(seconds=1)) for row in shown]
    chosen = outcome(shown[2], recommender.outcome.name, timedelta(minutes=1), event_id=-1)
    write_events(IMPRESSIONS, shown)
    write_events(OUTCOMES, [*seen, chosen])
    as_of = START + timedelta(days=1)
    log = open_log(log_path(), as_of)
    (total,) = (m for m in online_metrics(log.connection, [recommender], as_of) if m.day is None)
    assert (total.impressions, total.clicks) == (10, 1)
    assert attribution(log.connection, [recommender]) == Attribution(outcomes=11, credited=1)
