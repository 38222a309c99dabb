"""Event logs: durable, de-duplicated, in order; one file a backend."""
