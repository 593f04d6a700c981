"""What ``GET /v1/health`` says: which parts work, and what could not be logged."""

from serving.contract import HealthResponse, PartHealth
from serving.event_log import EventLog
from serving.faults import Faults


def health(faults: Faults, log: EventLog) -> HealthResponse:
    """How this worker is."""
    parts = faults.parts()
    return HealthResponse(
        ready=all(part.defect is None for part in parts),
        parts=[
            PartHealth(
                part=part.name,
                state="working" if part.defect is None else "failing",
                since=part.since,
                detail=part.defect,
            )
            for part in parts
        ],
        unlogged_rows=log.unlogged_rows,
        waiting_rows=log.waiting_rows,
    )
