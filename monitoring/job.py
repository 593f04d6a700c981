"""The monitoring job: read the log, measure, write the pages. Prints nothing."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from feature_repo.catalog import recommenders
from feature_repo.errors import RecommendError
from feature_repo.home import PROJECT, log_path, reports_path
from feature_repo.recommender import Recommender
from monitoring import charts, evidently_reports
from monitoring.drift import MAX_ROWS, Unmeasured, comparison, drift_of
from monitoring.files import replace_text
from monitoring.log import ServedLog, open_log
from monitoring.online import OnlineMetrics, attribution, online_metrics
from monitoring.pages import Page, Section, Version, render
from monitoring.served import ServedRows, served_rows
from training import bundle
from training.champion import champion

DECLARED = "declared"
"""The model version of the heuristic that serves before anything was trained: it has no bundle."""

ASSETS = "assets"
WORKSPACE = "evidently"


@dataclass(frozen=True)
class MonitorReport:
    """What a run wrote and found.

    Args:
        index: The page to open.
        workspace: Evidently's workspace, for ``evidently ui --workspace``.
        lines: The findings, one line per recommender and model version.
        warnings: What was left out or could not be read, one line each; also on the page.
    """

    index: Path
    workspace: Path
    lines: tuple[str, ...]
    warnings: tuple[str, ...]


def monitor(as_of: datetime, since: datetime | None = None) -> MonitorReport:
    """Measure what was served and write the pages under `feature_repo.home.reports_path`.

    Running it again for the same instant replaces what the earlier run wrote.

    Args:
        as_of: Log rows after this instant are not seen.
        since: Nor are rows before this one; None is the whole log.

    Raises:
        RecommendError: the reports cannot be written, or the log holds values that no log should.
    """
    log = open_log(log_path(), as_of, since)
    reports = reports_path()
    try:
        return _monitor(log, reports, as_of, since)
    except OSError as error:
        raise RecommendError(
            f"the reports cannot be written under {reports} ({error.strerror or error}): "
            "free the path, or set RECOMMEND_HOME to a folder that can be written"
        ) from error
    except duckdb.Error as error:
        raise RecommendError(
            f"the log under {log_path()} cannot be read ({str(error).splitlines()[0]}): "
            "move the file that it names out of the log, and run again"
        ) from error
    finally:
        log.connection.close()


def _monitor(log: ServedLog, reports: Path, as_of: datetime, since: datetime | None) -> MonitorReport:
    declared = list(recommenders().values())
    metrics = online_metrics(log.connection, declared, as_of)
    sections = [
        _section(log.connection, r, [m for m in metrics if m.recommender == r.name], reports, as_of)
        for r in declared
    ]
    warnings = (*log.warnings, *_undeclared(log.connection, declared))
    drawn = any(section.charts for section in sections)
    page = Page(
        as_of=as_of,
        since=since,
        sections=sections,
        attribution=attribution(log.connection, declared),
        warnings=warnings,
        workspace=_typed(reports / WORKSPACE),
        plotly=f"{ASSETS}/{charts.write_plotly(reports / ASSETS)}" if drawn else None,
    )
    index = reports / "index.html"
    replace_text(index, render(page))
    lines = tuple(line for section in sections for line in _lines(section))
    return MonitorReport(index, reports / WORKSPACE, lines, warnings)


def _section(
    connection: duckdb.DuckDBPyConnection,
    recommender: Recommender,
    metrics: list[OnlineMetrics],
    reports: Path,
    as_of: datetime,
) -> Section:
    promoted = champion(recommender.name)
    serving = promoted.version if promoted else DECLARED
    totals = [m for m in metrics if m.day is None]
    versions = tuple(
        _version(connection, total, total.model_version == serving, reports, as_of)
        for total in sorted(totals, key=lambda m: (m.model_version != serving, m.model_version))
    )
    days = tuple(sorted((m for m in metrics if m.day), key=lambda m: (m.day, m.model_version)))
    current = {version.report for version in versions}
    written = (p.relative_to(reports).as_posix() for p in sorted((reports / recommender.name).glob("*.html")))
    return Section(
        recommender=recommender,
        champion=promoted,
        ranker=_ranker(recommender.name, serving) if promoted else None,
        versions=versions,
        days=days,
        charts=charts.daily_charts(days),
        earlier=tuple(link for link in written if link not in current),
    )


def _version(
    connection: duckdb.DuckDBPyConnection,
    total: OnlineMetrics,
    serving: bool,
    reports: Path,
    as_of: datetime,
) -> Version:
    name, version = total.recommender, total.model_version
    if version == DECLARED:
        return Version(total, serving, Unmeasured("no reference: the declared heuristic was never trained"))
    try:
        trained = bundle.load(name, version)
    except RecommendError as error:
        return Version(total, serving, Unmeasured(f"no reference: {error}"))
    served = served_rows(connection, name, version, trained.card.feature_names, MAX_ROWS)
    compared = comparison(trained.reference(), served)
    if isinstance(compared, Unmeasured):
        return Version(total, serving, compared, _left_out(served))
    report = evidently_reports.measure(compared, name, version, as_of)
    page = reports / name / f"{version}.html"
    evidently_reports.write_page(report, page, reports / ASSETS)
    evidently_reports.store(report, reports / WORKSPACE)
    drift = drift_of(compared, report.distances)
    return Version(total, serving, drift, _left_out(served), page.relative_to(reports).as_posix())


def _left_out(served: ServedRows) -> tuple[str, ...]:
    reasons = {
        "answered by popularity, without features": served.unranked,
        "with another number of features than the bundle": served.misshapen,
    }
    return tuple(f"Left out: {count:,} {reason}." for reason, count in reasons.items() if count)


def _ranker(recommender: str, version: str) -> str | None:
    try:
        return bundle.load(recommender, version).card.ranker
    except RecommendError:  # the page says so in its place
        return None


def _undeclared(connection: duckdb.DuckDBPyConnection, declared: Iterable[Recommender]) -> list[str]:
    known = [r.name for r in declared]
    rows = connection.execute(
        "SELECT recommender, count(*) FROM impressions WHERE NOT list_contains($known, recommender) "
        "GROUP BY recommender ORDER BY recommender",
        {"known": known},
    ).fetchall()
    return [
        f"impressions of {name!r} are left out ({count:,}): no such recommender is declared"
        for name, count in rows
    ]


def _typed(path: Path) -> str:
    """The path as a person types it in the project's folder."""
    return path.relative_to(PROJECT).as_posix() if path.is_relative_to(PROJECT) else str(path)


def _lines(section: Section) -> Iterable[str]:
    name = section.recommender.name
    if not section.versions:
        yield f"{name}: no traffic yet"
    for version in section.versions:
        total = version.total
        ctr = f"CTR {total.ctr}" if total.judged else "no outcome yet"
        dcg = f"DCG@10 {total.dcg}" if total.dcg else "DCG@10: not enough data"
        yield (
            f"{name} {total.rung} {total.model_version}: {total.requests:,} requests, "
            f"{total.impressions:,} impressions, {ctr}, {dcg}; drift: {version.verdict}"
        )
