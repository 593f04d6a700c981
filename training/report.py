"""What a training run prints, and the same as a file for pages and scripts."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from feature_repo.home import reports_path
from training.bundle import Interval
from training.evaluate import METRICS
from training.job import Training

Document = dict[str, Any]
"""A report as JSON holds it: ``title``, ``caption``, ``best`` and ``rows``."""


def document(training: Training) -> Document:
    """The table's content. A row has ``ranker``, ``version``, and the intervals ``metrics`` and ``lifts`` by name."""
    heuristic = next((t for t in training.trained if t.card.ranker == "heuristic"), None)
    rows: list[Document] = [
        {
            "ranker": "popularity",
            "version": None,
            "metrics": _plain(training.popularity.intervals(training.seed)),
            "lifts": {},
        }
    ]
    for rung in training.trained:
        lifts = {"popularity": training.lift(rung, training.popularity)}
        if heuristic is not None and rung is not heuristic:
            lifts["heuristic"] = training.lift(rung, heuristic.evidence)
        rows.append(
            {
                "ranker": rung.card.ranker,
                "version": rung.card.version,
                "metrics": _plain(rung.card.metrics),
                "lifts": _plain(lifts),
            }
        )
    return {
        "recommender": training.recommender.name,
        "title": _title(training),
        "caption": _caption(training),
        "best": training.best().card.version,
        "rows": rows,
    }


def path(recommender: str) -> Path:
    """Where the latest training report of a recommender lies."""
    return reports_path() / "training" / f"{recommender}.json"


def save(report: Document) -> Path:
    """Write a report under the reports; a newer run replaces it."""
    target = path(report["recommender"])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(report, indent=1))
    return target


def load(recommender: str) -> Document:
    """Read what `save` wrote."""
    found: Document = json.loads(path(recommender).read_text())
    return found


def render(report: Document) -> Group:
    """For the terminal, 80 columns wide: the metrics of each ranker, then the paired lifts in NDCG@10."""
    metrics = Table("ranker", *METRICS, box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    lifts = Table(
        "ranker", "Δ NDCG@10 to popularity", "to the heuristic", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for row in report["rows"]:
        best = row["version"] is not None and row["version"] == report["best"]
        name = Text(row["ranker"], style="bold" if best else "")
        metrics.add_row(name, *(cell(row["metrics"].get(m)) for m in METRICS))
        if row["lifts"]:
            lifts.add_row(name, *(cell(row["lifts"].get(o), sign="+") for o in ("popularity", "heuristic")))
    return Group(Text(report["title"], style="bold"), metrics, lifts, Text(report["caption"], style="dim"))


def _title(training: Training) -> str:
    test = ", ".join(f"{c:%Y-%m-%d}" for c in training.split.test)
    return f"{training.recommender.name}, judged at {test}"


def _caption(training: Training) -> str:
    data, split = training.data, training.split
    found = data.test.labels.sum() / data.test.positives.sum()
    return (
        f"{len(data.test.positives)} test queries with {data.test.positives.sum()} positives, of which the sources "
        f"found {found:.0%}; trained on {len(data.train.positives)} queries at {len(split.train)} cut-offs from "
        f"{split.train[0]:%Y-%m-%d} to {split.train[-1]:%Y-%m-%d}. Intervals: 95 %, bootstrap over users. "
        "AUC: within a query. Bold: best on the validation users, which chose it."
    )


def cell(interval: Mapping[str, float] | None, *, sign: str = "") -> Text:
    """An interval for a table: the value above its bounds, narrow, and both in sight; a dash where there is none."""
    if interval is None:
        return Text("–")
    value, low, high = (_short(interval[k], sign) for k in ("value", "low", "high"))
    return Text.assemble(value, "\n", (f"{low}…{high}", "dim"))


def _short(number: float, sign: str) -> str:
    return re.sub(r"^([+-]?)0\.", r"\1.", f"{number:{sign}.3f}")


def _plain(intervals: Mapping[str, Interval]) -> dict[str, Document]:
    return {name: asdict(interval) for name, interval in intervals.items()}
