"""What Prometheus may ask, under ``/metrics``. Imported by the worker only: BentoML points
``prometheus_client`` at the workers' common folder before it starts one."""

from typing import Any

from prometheus_client import Counter, Histogram


class Children(dict[Any, Any]):
    """The children of a metric by their label, or labels: looked up once, which takes as long as a count."""

    def __init__(self, metric: Counter | Histogram) -> None:
        """Of ``metric``."""
        super().__init__()
        self._metric = metric

    def __missing__(self, labels: str | tuple[str, ...]) -> Any:
        self[labels] = self._metric.labels(*((labels,) if isinstance(labels, str) else labels))
        return self[labels]


REQUESTS = Counter(
    "recommend_requests_total",
    "Answers of /v1/recommend",
    ["recommender", "rung", "degraded"],
)
STAGE_SECONDS = Histogram(
    "recommend_stage_seconds",
    "Latency of each stage of an answer",
    ["stage"],
    buckets=(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0),
)
FEATURE_ROWS = Counter(
    "recommend_feature_rows_total",
    "Rows read from the online store: asked, and of these missing, expired (older than the view's TTL), future "
    "(dated after the request), other_layout (written before the view's fields changed), corrupt",
    ["view", "state"],
)
RESCUED = Counter(
    "recommend_rescued_total", "Requests that were answered from memory, as their deadline drew near"
)
SKIPPED = Counter(
    "recommend_skipped_total", "Work after an answer that was left out, as too much of it waited", ["thread"]
)
LOG_ROWS = Counter(
    "recommend_log_rows_total",
    "Rows offered to the event log: written, of these late (after the answer), or dropped as the disk did not take "
    "them",
    ["table", "result"],
)
LOG_TORN_BYTES = Counter(
    "recommend_log_torn_bytes_total", "Bytes of writes that a crash cut, left out when the log was recovered"
)
REFUSALS = Counter(
    "recommend_refusals_total", "Requests of callers who were turned away, by the kind of problem", ["kind"]
)
OUTCOME_EVENTS = Counter("recommend_outcomes_total", "Events of /v1/outcomes", ["result"])
