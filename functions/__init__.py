"""What do we do about it? One function per file; ``formats/`` and ``planner/`` are pure helpers. Never a client library."""

#: The functions of the suite, by module. A new function is a file and an entry here.
FUNCTIONS = (
    "functions.ingest",
    "functions.metadata",
    "functions.catalog",
    "functions.retire",
    "functions.model_version",
    "functions.profile",
    "functions.plan",
)
