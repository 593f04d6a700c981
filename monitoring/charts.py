"""Per-day charts of the online metrics, as HTML fragments that share one local copy of plotly.js."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import plotly.graph_objects as go
import plotly.io
from markupsafe import Markup
from plotly.offline import get_plotlyjs, get_plotlyjs_version

from monitoring.files import replace_text
from monitoring.online import OnlineMetrics
from training.bundle import Interval

# Okabe & Ito (2008): told apart with any colour vision, and legible on white and on near-black.
_COLOURS = ("#3b8fd4", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star")
_INK = "#7c828c"
_RULE = "rgba(124,130,140,0.25)"


@dataclass(frozen=True)
class Chart:
    """A titled figure; ``html`` is trusted markup."""

    title: str
    html: Markup


def daily_charts(days: Sequence[OnlineMetrics]) -> tuple[Chart, ...]:
    """CTR and DCG@10 per day, a line for each model version, with 95 % intervals.

    A day on which a metric could not be estimated has no point; a chart without points is not drawn.
    """
    measures: dict[str, Callable[[OnlineMetrics], Interval | None]] = {
        "CTR per day": lambda m: m.ctr if m.judged else None,
        "DCG@10 per day": lambda m: m.dcg,
    }
    charts = (_chart(title, days, measure) for title, measure in measures.items())
    return tuple(chart for chart in charts if chart)


def write_plotly(assets: Path) -> str:
    """Put plotly.js beside the pages, once; answers its file name."""
    script = assets / f"plotly-{get_plotlyjs_version()}.min.js"
    if not script.exists():
        replace_text(script, get_plotlyjs())
    return script.name


def _chart(
    title: str, days: Sequence[OnlineMetrics], measure: Callable[[OnlineMetrics], Interval | None]
) -> Chart | None:
    figure = go.Figure(layout=_layout(title))
    for n, version in enumerate(sorted({m.model_version for m in days})):
        known = [(m.day, i) for m in days if m.model_version == version and (i := measure(m))]
        if known:
            rung = next(m.rung for m in days if m.model_version == version)
            figure.add_trace(_line(f"{rung} {version}", n, [d for d, _ in known], [i for _, i in known]))
    if not figure.data:
        return None
    config = {"displayModeBar": False, "responsive": True, "plotlyServerURL": "", "scrollZoom": False}
    html = plotly.io.to_html(
        figure, config=config, include_plotlyjs=False, full_html=False, default_height="16rem"
    )
    return Chart(title, Markup(html))


def _line(name: str, n: int, days: Sequence[object], intervals: Sequence[Interval]) -> go.Scatter:
    colour = _COLOURS[n % len(_COLOURS)]
    return go.Scatter(
        name=name,
        x=list(days),
        y=[i.value for i in intervals],
        error_y={
            "type": "data",
            "array": [i.high - i.value for i in intervals],
            "arrayminus": [i.value - i.low for i in intervals],
            "thickness": 1,
            "width": 2,
        },
        mode="lines+markers",
        line={"color": colour, "width": 2},
        marker={"symbol": _SYMBOLS[n % len(_SYMBOLS)], "size": 7},
    )


def _layout(title: str) -> dict[str, object]:
    axis = {"gridcolor": _RULE, "linecolor": _RULE, "zerolinecolor": _RULE, "fixedrange": True}
    return {
        "template": "none",
        "margin": {"l": 48, "r": 8, "t": 8, "b": 36},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": _INK, "family": "inherit", "size": 12},
        "xaxis": {**axis, "type": "date", "tickformat": "%-d %b"},
        "yaxis": {**axis, "rangemode": "tozero", "tickformat": ".0%" if title.startswith("CTR") else ".2f"},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "showlegend": True,
        "hovermode": "x unified",
        "dragmode": False,
    }
