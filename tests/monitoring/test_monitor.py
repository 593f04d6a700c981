"""The whole job over a small home: a log, a bundle, a champion, and the pages that come of them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from selectolax.lexbor import LexborNode as Node

from feature_repo.catalog import recommenders
from feature_repo.errors import RecommendError
from feature_repo.events import IMPRESSIONS, OUTCOMES
from feature_repo.home import log_path, reports_path
from feature_repo.recommender import Recommender
from monitoring.job import MonitorReport, monitor
from tests.monitoring.traffic import START, Traffic, impression, save_bundle, write_events, write_traffic
from training.champion import promote

AS_OF = START + timedelta(days=3)


@dataclass(frozen=True)
class Site:
    """The pages, and the traffic that they tell of: a steady version, a drifted one that serves, and few
    answers of day one. One file of the log was cut."""

    report: MonitorReport
    steady: str
    drifted: str
    impressions: list[dict[str, object]]
    outcomes: list[dict[str, object]]

    @property
    def page(self) -> HTMLParser:
        return HTMLParser(self.report.index.read_text())

    def shown(self, version: str) -> list[dict[str, object]]:
        return [row for row in self.impressions if row["model_version"] == version]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, recommender: Recommender) -> Iterator[Site]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECOMMEND_HOME", str(tmp_path_factory.mktemp("home")))
        reference = Traffic(recommender, "-", requests=200, seed=9).reference()
        steady, drifted = (save_bundle(recommender, reference).version for _ in range(2))
        promote(recommender.name, drifted)
        names = recommender.feature_names
        grown = dict.fromkeys(names[: len(names) // 2 + 1], 5.0)
        logged = [
            write_traffic(traffic)
            for traffic in (
                Traffic(recommender, steady, seed=1),
                Traffic(recommender, drifted, seed=2, grown=grown),
                Traffic(recommender, drifted, rung="popularity", requests=4, seed=3),
                Traffic(recommender, "declared", requests=12, seed=4),
            )
        ]
        (log_path() / OUTCOMES.name / "day=2025-08-01" / "cut.parquet").write_bytes(b"PAR1 and then nothing")
        report = monitor(AS_OF)
        impressions, outcomes = ([row for pair in logged for row in pair[n]] for n in (0, 1))
        yield Site(report, steady, drifted, impressions, outcomes)


def row_of(page: HTMLParser, recommender: Recommender, version: str) -> dict[str, Node]:
    row = page.css_first(f'tr[id="{recommender.name}-{version}"]')
    assert row is not None, version
    return {str(cell.attributes["data-label"]): cell for cell in row.css("td")}


def number(cell: Node) -> float:
    data = cell.css_first("data")
    assert data is not None, cell.text()
    return float(str(data.attributes["value"]))


def test_the_page_shows_the_numbers_of_the_log(site: Site, recommender: Recommender) -> None:
    for version in (site.steady, site.drifted):
        shown = site.shown(version)
        clicked = {(o["request_id"], o["candidate_id"]) for o in site.outcomes}
        clicks = sum((row["request_id"], row["candidate_id"]) in clicked for row in shown)
        cells = row_of(site.page, recommender, version)
        assert number(cells["Requests"]) == len({row["request_id"] for row in shown})
        assert number(cells["Impressions"]) == len(shown)
        assert number(cells["Clicks"]) == clicks > 0
        assert number(cells["CTR"]) == pytest.approx(clicks / len(shown))
        assert f"{100 * clicks / len(shown):.2f}" in cells["CTR"].text()


def test_the_days_add_up_to_the_total(site: Site, recommender: Recommender) -> None:
    section = site.page.css_first(f"section#{recommender.name}")
    assert section is not None
    days = [row.text() for row in section.css("table.days tbody tr")]
    assert any(day.strip().startswith("2025-08-02") for day in days)
    impressions = [number(row.css("td")[2]) for row in section.css("table.days tbody tr")]
    assert sum(impressions) == len(site.impressions)


def test_the_serving_version_and_its_rung_are_named(site: Site, recommender: Recommender) -> None:
    facts = site.page.css_first(f"section#{recommender.name} dl.facts")
    assert facts is not None
    assert [dd.text() for dd in facts.css("dd")][:2] == [site.drifted, "heuristic"]
    first = site.page.css_first(f"section#{recommender.name} table.versions tbody th")
    assert first is not None
    assert "serving" in first.text()
    assert "4 answers by popularity" in first.text()


def test_the_planted_drift_is_found_and_the_steady_version_is_not_accused(
    site: Site, recommender: Recommender
) -> None:
    drifted = row_of(site.page, recommender, site.drifted)["Drift"]
    steady = row_of(site.page, recommender, site.steady)["Drift"]
    count, total = map(int, re.findall(r"(\d+) of (\d+) features drifted", drifted.text())[0])
    assert count > total / 2
    assert drifted.css_first(".bad") is not None
    assert steady.css_first(".bad") is None
    assert "score stable" in steady.text()


def test_few_answers_and_no_reference_are_said_in_words(site: Site, recommender: Recommender) -> None:
    cells = row_of(site.page, recommender, "declared")
    assert cells["DCG@10"].text().strip() == "not enough data: 12 of 30 requests"
    assert "no reference" in cells["Drift"].text()
    assert number(cells["Requests"]) == 12


def test_a_recommender_without_traffic_says_so(site: Site, recommender: Recommender) -> None:
    idle = [name for name in recommenders() if name != recommender.name]
    for name in idle:
        section = site.page.css_first(f"section#{name}")
        assert section is not None
        assert "No traffic yet." in section.text()
        assert "no model was promoted yet" in section.text()
        assert not section.css("table")
        assert f"{name}: no traffic yet" in site.report.lines


def test_the_cut_file_is_named_on_the_page_and_in_the_report(site: Site) -> None:
    note = site.page.css_first(".warnings")
    assert note is not None
    assert "outcomes/day=2025-08-01/cut.parquet" in note.text()
    assert "outcomes/day=2025-08-01/cut.parquet" in site.report.warnings[0]


def test_every_link_leads_somewhere_and_nothing_is_fetched_from_the_network(site: Site) -> None:
    index = site.report.index
    reports = sorted((index.parent).glob("*/*.html"))
    assert len(reports) == 2
    for path in (index, *reports):
        page = HTMLParser(path.read_text())
        ids = {node.attributes["id"] for node in page.css("[id]")}
        for attribute in ("src", "href"):
            for node in page.css(f"[{attribute}]"):
                target = str(node.attributes[attribute])
                if target.startswith("#"):
                    assert target[1:] in ids, target
                elif target.startswith("http"):
                    assert node.tag == "a", target
                elif not target.startswith("data:"):
                    assert (path.parent / target).is_file(), target
        assert not re.search(r"url\(\s*['\"]?https?:", path.read_text())
        assert path.stat().st_size < 5_000_000
    linked = {node.attributes["href"] for node in site.page.css("a")}
    assert {p.relative_to(index.parent).as_posix() for p in reports} <= linked


def test_the_charts_hold_a_line_for_each_version(site: Site, recommender: Recommender) -> None:
    figures = site.page.css(f"section#{recommender.name} figure")
    assert [f.css_first("figcaption").text() for f in figures] == ["CTR per day", "DCG@10 per day"]  # type: ignore[union-attr]
    ctr = figures[0].html or ""
    assert all(f'"name":"heuristic {version}"' in ctr for version in (site.steady, site.drifted, "declared"))
    assert "http" not in ctr.replace("http://www.w3.org", "")


def test_the_evidently_workspace_opens(site: Site, recommender: Recommender) -> None:
    from evidently.ui.workspace import Workspace

    workspace = Workspace(str(site.report.workspace))
    (project,) = workspace.list_projects()
    assert project.name == recommender.name
    runs = [workspace.get_run(project.id, run) for run in workspace.list_runs(project.id)]
    assert sorted(run.tags[0] for run in runs if run) == sorted([site.steady, site.drifted])
    assert {run.timestamp for run in runs if run} == {AS_OF}
    assert len(project.dashboard.model().panels) == 4


def test_the_lines_give_the_findings(site: Site, recommender: Recommender) -> None:
    line = next(line for line in site.report.lines if site.steady in line)
    assert line.startswith(
        f"{recommender.name} heuristic {site.steady}: 150 requests, 1,500 impressions, CTR 0."
    )


def test_no_usage_data_is_sent(site: Site) -> None:
    from evidently.telemetry import event_logger

    assert not event_logger.is_enabled()


def test_without_a_log_every_recommender_waits_for_traffic(home: Path) -> None:
    report = monitor(AS_OF)
    assert report.lines == tuple(f"{name}: no traffic yet" for name in recommenders())
    page = HTMLParser(report.index.read_text())
    assert len(page.css("section")) == len(recommenders())
    assert not page.css("table, script")
    assert "No outcome was logged." in (page.body.text() if page.body else "")


def test_one_row_makes_no_zero(home: Path, recommender: Recommender) -> None:
    write_events(IMPRESSIONS, [impression(recommender.name, model_version="declared")])
    report = monitor(AS_OF)
    cells = row_of(HTMLParser(report.index.read_text()), recommender, "declared")
    assert number(cells["Impressions"]) == 1
    assert cells["CTR"].text().strip() == "no outcome yet: every window is still open"
    assert cells["DCG@10"].text().strip() == "not enough data: 1 of 30 requests"
    assert not list(reports_path().glob("assets/*"))


def test_rows_after_the_instant_are_not_seen(home: Path, recommender: Recommender) -> None:
    write_traffic(Traffic(recommender, "declared", requests=20))
    report = monitor(START + timedelta(minutes=12))
    cells = row_of(HTMLParser(report.index.read_text()), recommender, "declared")
    assert number(cells["Requests"]) == 2
    since = monitor(AS_OF, since=START + timedelta(minutes=12 * 15))
    cells = row_of(HTMLParser(since.index.read_text()), recommender, "declared")
    assert number(cells["Requests"]) == 5


def test_a_version_that_is_not_in_the_store_says_so(home: Path, recommender: Recommender) -> None:
    write_events(IMPRESSIONS, [impression(recommender.name, model_version="deleted")])
    report = monitor(AS_OF)
    assert "drift: no reference: no version 'deleted'" in report.lines[0]


def test_impressions_of_an_undeclared_recommender_are_reported(home: Path) -> None:
    write_events(IMPRESSIONS, [impression("<script>alert(1)</script>")])
    report = monitor(AS_OF)
    assert "no such recommender" in report.warnings[0]
    page = HTMLParser(report.index.read_text())
    assert not page.css("script")
    note = page.css_first(".warnings li")
    assert note is not None
    assert "<script>alert(1)</script>" in note.text()


def test_reports_that_cannot_be_written_are_a_clear_error(home: Path, recommender: Recommender) -> None:
    write_events(IMPRESSIONS, [impression(recommender.name)])
    reports_path().write_text("in the way")
    with pytest.raises(RecommendError, match=r"the reports cannot be written under .*reports"):
        monitor(AS_OF)
    assert reports_path().read_text() == "in the way"


def test_a_log_that_cannot_be_read_is_a_clear_error(home: Path, recommender: Recommender) -> None:
    (path,) = write_events(IMPRESSIONS, [impression(recommender.name)])
    content = bytearray(path.read_bytes())
    content[4:200] = b"\xff" * 196
    path.write_bytes(content)
    with pytest.raises(RecommendError, match="cannot be read"):
        monitor(AS_OF)
