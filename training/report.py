"""What a training run prints, and the same as a file for pages and scripts."""

import json
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from feature_repo.home import reports_path
from training.bundle import Interval
from training.evaluate import METRICS
from training.job import Training


def table(training: Training) -> Table:
    """One row a ranker, one column a metric, each with its 95 % interval; lifts in NDCG@10 are paired."""
    shown = Table(
        title=_title(training), caption=_caption(training), title_justify="left", caption_justify="left"
    )
    shown.add_column("ranker")
    for name in (*METRICS, "Δ popularity", "Δ heuristic"):
        shown.add_column(name, justify="right")
    for row in rows(training):
        cells = [_cell(row["metrics"].get(name)) for name in METRICS]
        lifts = [_cell(row["lifts"].get(over), signed=True) for over in ("popularity", "heuristic")]
        shown.add_row(str(row["ranker"]), *cells, *lifts)
    return shown


def rows(training: Training) -> list[dict]:
    """The table's content: ``ranker``, ``version``, ``metrics`` and ``lifts`` by name, as intervals."""
    found = [
        {
            "ranker": "popularity",
            "version": None,
            "metrics": training.popularity.intervals(training.seed),
            "lifts": {},
        }
    ]
    heuristic = next((t for t in training.trained if t.card.ranker == "heuristic"), None)
    for rung in training.trained:
        lifts = {"popularity": training.lift(rung, training.popularity)}
        if heuristic is not None and rung is not heuristic:
            lifts["heuristic"] = training.lift(rung, heuristic.evidence)
        found.append(
            {
                "ranker": rung.card.ranker,
                "version": rung.card.version,
                "metrics": dict(rung.card.metrics),
                "lifts": lifts,
            }
        )
    return found


def save(training: Training) -> Path:
    """Write the table as JSON under the reports; a newer run replaces it."""
    path = reports_path() / "training" / f"{training.recommender.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "recommender": training.recommender.name,
        "title": _title(training),
        "caption": _caption(training),
        "best": training.best().card.version,
        "rows": rows(training),
    }
    path.write_text(json.dumps(document, default=asdict, indent=1))
    return path


def _title(training: Training) -> str:
    test = ", ".join(f"{c:%Y-%m-%d}" for c in training.split.test)
    return f"{training.recommender.name}: test cut-offs {test}"


def _caption(training: Training) -> str:
    data, split = training.data, training.split
    found = data.test.labels.sum() / data.test.positives.sum()
    return (
        f"{len(data.test.positives)} test queries with {data.test.positives.sum()} positives, of which the candidate "
        f"sources found {found:.0%}; trained on {len(data.train.positives)} queries at {len(split.train)} cut-offs "
        f"from {split.train[0]:%Y-%m-%d} to {split.train[-1]:%Y-%m-%d}. [95 % bootstrap intervals over users; "
        "AUC is within a query; Δ: paired difference in NDCG@10]"
    )


def _cell(interval: Interval | None, *, signed: bool = False) -> str:
    if interval is None:
        return "–"
    sign = "+" if signed else ""
    return f"{interval.value:{sign}.3f} [dim]{interval.low:{sign}.3f}…{interval.high:{sign}.3f}[/dim]"
