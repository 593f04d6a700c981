"""No tables: the online store is written directly."""
