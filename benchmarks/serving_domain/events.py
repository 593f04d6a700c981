"""No events: the online store is written directly."""

from feature_repo.events import EventTable

EVENT_TABLES: tuple[EventTable, ...] = ()
