"""The index page: what it shows, as data, and its rendering. Pure: files are written by the job."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from jinja2 import Environment, PackageLoader, StrictUndefined

from feature_repo.recommender import Recommender
from monitoring import drift, online
from monitoring.charts import Chart
from monitoring.drift import Drift, Unmeasured
from monitoring.online import Attribution, OnlineMetrics
from training.champion import Champion


@dataclass(frozen=True)
class Version:
    """One model version of a recommender.

    Args:
        total: Its online metrics over the whole log.
        serving: Whether it is the one that serves.
        drift: Against its bundle's reference, or why there is none.
        left_out: Of the drift: how many impressions, and why, one sentence each.
        report: Address of Evidently's page, relative to the index; None where drift was not measured.
    """

    total: OnlineMetrics
    serving: bool
    drift: Drift | Unmeasured
    left_out: tuple[str, ...] = ()
    report: str | None = None

    @property
    def measured(self) -> Drift | None:
        """The drift, where there is one."""
        return self.drift if isinstance(self.drift, Drift) else None

    @property
    def unmeasured(self) -> str | None:
        """Why there is none."""
        return self.drift.reason if isinstance(self.drift, Unmeasured) else None

    @property
    def verdict(self) -> str:
        """The drift in words."""
        if isinstance(self.drift, Unmeasured):
            return self.drift.reason
        measured = self.drift
        score = "score drifted" if measured.prediction.drifted else "score stable"
        return (
            f"{len(measured.drifted)} of {len(measured.features)} features drifted "
            f"({100 * measured.share:.0f}\u00a0%), {score}"
        )


@dataclass(frozen=True)
class Section:
    """One recommender.

    Args:
        recommender: Its declaration.
        champion: The promoted version; None before the first promotion.
        ranker: What the champion ranks with; None without a champion, or where its bundle cannot be read.
        versions: Those with traffic, the serving one first.
        days: Metrics per day and version, in the order of days.
        charts: Of the days.
        earlier: Addresses of Evidently pages that earlier runs left, relative to the index.
    """

    recommender: Recommender
    champion: Champion | None
    ranker: str | None
    versions: tuple[Version, ...]
    days: tuple[OnlineMetrics, ...]
    charts: tuple[Chart, ...]
    earlier: tuple[str, ...]


@dataclass(frozen=True)
class Page:
    """All that the index shows.

    Args:
        as_of: The instant up to which the log was read.
        since: The instant from which, or None for all of it.
        sections: One per declared recommender.
        attribution: Of the outcomes in the log.
        warnings: What was left out or could not be read, one sentence each.
        workspace: Path of Evidently's workspace, as typed from the project's root.
        plotly: Address of plotly.js, relative to the index; None where there is no chart.
    """

    as_of: datetime
    since: datetime | None
    sections: Sequence[Section]
    attribution: Attribution
    warnings: Sequence[str]
    workspace: str
    plotly: str | None


def render(page: Page) -> str:
    """The page as one HTML document that loads nothing from the network."""
    environment = Environment(
        loader=PackageLoader("monitoring"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "whole": whole, "span": span}
    return environment.get_template("index.html").render(page=page, online=online, drift=drift)


def percent(share: float) -> str:
    """A share as a percentage with two decimals and a no-break space: ``3.42 %``."""
    return f"{100 * share:.2f}\u00a0%"


def whole(count: int) -> str:
    """A count with thin spaces between thousands."""
    return f"{count:,}".replace(",", "\u202f")


def span(length: timedelta) -> str:
    """A window in days, or as ``H:MM:SS`` where it is none."""
    days, rest = divmod(length, timedelta(days=1))
    return str(length) if rest or not days else f"{days} day{'s' if days > 1 else ''}"
