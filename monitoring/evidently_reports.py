"""Evidently at the edge: measures a comparison, writes its HTML page, and keeps its workspace.

`evidently` takes seconds to import, so it is imported when the first report is due. The workspace is what
``evidently ui --workspace PATH`` opens: one project per recommender, one snapshot per model version and run.
"""

import os
import warnings
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import NAMESPACE_URL, UUID, uuid5

import pandas as pd

from monitoring.drift import DISTANCE_THRESHOLD, DRIFTED_SHARE, PREDICTION, Comparison
from monitoring.files import replace_text

if TYPE_CHECKING:
    from evidently.core.report import Snapshot
    from evidently.ui.workspace import Project

# Read by Evidently when it is imported: no usage data leaves this machine.
os.environ["DO_NOT_TRACK"] = "1"

_METHOD = "wasserstein"


@dataclass(frozen=True)
class DriftReport:
    """An Evidently snapshot of one model version.

    Args:
        recommender: Its name.
        model_version: The bundle's version.
        as_of: The snapshot's time stamp.
        snapshot: As Evidently's `Report.run` answers it.
    """

    recommender: str
    model_version: str
    as_of: datetime
    snapshot: "Snapshot"

    @property
    def distances(self) -> dict[str, float]:
        """Normed Wasserstein distance by column, for the columns with values on both sides."""
        metrics = self.snapshot.dict()["metrics"]
        return {
            m["config"]["column"]: float(m["value"])
            for m in metrics
            if m["config"]["type"].endswith(":ValueDrift")
        }


def measure(compared: Comparison, recommender: str, model_version: str, as_of: datetime) -> DriftReport:
    """Run Evidently's data drift preset over the features, and its value drift over the score."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # Evidently's own imports; Feast turns them all on
        from evidently import DataDefinition, Dataset, Report
        from evidently.metrics import ValueDrift
        from evidently.presets import DataDriftPreset

    columns = compared.comparable
    features = [c for c in columns if c != PREDICTION]
    metrics = [ValueDrift(column=PREDICTION, method=_METHOD, threshold=DISTANCE_THRESHOLD)]
    if features:
        preset = DataDriftPreset(
            columns=features,
            num_method=_METHOD,
            num_threshold=DISTANCE_THRESHOLD,
            drift_share=DRIFTED_SHARE,
        )
        metrics.insert(0, preset)

    def dataset(rows: pd.DataFrame) -> Dataset:
        return Dataset.from_pandas(rows[columns], DataDefinition(numerical_columns=columns))

    snapshot = Report(metrics, tags=[model_version]).run(
        dataset(compared.served), dataset(compared.reference), timestamp=as_of, name=model_version
    )
    return DriftReport(recommender, model_version, as_of, snapshot)


def write_page(report: DriftReport, page: Path, assets: Path) -> None:
    """Write the report as HTML, which loads Evidently's own script (3.5 MB) from ``assets``.

    The pages share it there. Evidently itself offers only whole pages, so the script is cut out of one by its
    text; were a later Evidently to embed another text, the page would stay whole, and large.
    """
    import evidently
    from evidently.legacy.utils.dashboard import STATIC_PATH

    script = (Path(STATIC_PATH) / "index.js").read_text(encoding="utf-8")
    shared = assets / f"evidently-{evidently.__version__}.js"
    if not shared.exists():
        replace_text(shared, script)
    link = f'<script src="{os.path.relpath(shared, page.parent)}"></script>'
    html = report.snapshot.get_html_str(as_iframe=False)
    replace_text(page, html.replace(f"<script>{script}</script>", link))


def store(report: DriftReport, workspace_path: Path) -> None:
    """Put the snapshot into the workspace. The same version and instant replace what an earlier run put."""
    from evidently.sdk.models import ProjectModel
    from evidently.ui.workspace import Workspace

    workspace = Workspace.create(str(workspace_path))
    project_id = _id(report.recommender)
    project = workspace.get_project(project_id) or workspace.add_project(
        ProjectModel(id=project_id, name=report.recommender)
    )
    # add_run() would give each run a new id; an id made of what the snapshot is about makes it idempotent.
    snapshot_id = _id(report.recommender, report.model_version, report.as_of.isoformat())
    workspace.state.write_snapshot(project_id, snapshot_id, report.snapshot.to_snapshot_model())
    _chart(project, report.model_version)


def _chart(project: "Project", model_version: str) -> None:
    """Give the version its panels on the project's dashboard, where it has none yet.

    Panels of its own, since Evidently's dashboard draws one line a metric in a panel, whatever its tags.
    """
    from evidently.sdk.models import PanelMetric
    from evidently.sdk.panels import line_plot_panel

    series = {
        "Share of features that drifted": ("DriftedColumnsCount", {"value_type": "share"}),
        "Drift of the score": ("ValueDrift", {"column": PREDICTION}),
    }
    drawn = {panel.title for panel in project.dashboard.model().panels}
    for name, (metric, labels) in series.items():
        line = PanelMetric(legend=model_version, tags=[model_version], metric=metric, metric_labels=labels)
        panel = line_plot_panel(title=f"{name}: {model_version}", values=[line], size="half")
        if panel.title not in drawn:
            project.dashboard.add_panel(panel)


def _id(*parts: str) -> UUID:
    return uuid5(NAMESPACE_URL, "/".join(("recommend", *parts)))
