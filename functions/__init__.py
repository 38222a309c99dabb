"""What do we do about it? One function per file; ``formats/`` and ``planner/`` are pure helpers. Never a client library."""

import os

# ONNX Runtime tells its maker about the models that it loads, unless this is set before it is imported: here or in a child.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

#: The functions of the suite, by module. A new function is a file and an entry here.
FUNCTIONS = (
    "functions.ingest",
    "functions.metadata",
    "functions.catalog",
    "functions.retire",
    "functions.dataset",
    "functions.bind",
    "functions.bind_failure",
    "functions.preprocess",
    "functions.run_task",
    "functions.model_version",
    "functions.model_store",
    "functions.model_adopt",
    "functions.model_alias",
    "functions.alias_store",
    "functions.train",
    "functions.checkpoint",
    "functions.infer",
    "functions.observation",
    "functions.ontology",
    "functions.ontology_version",
    "functions.annotate",
    "functions.reason",
    "functions.profile",
    "functions.plan",
)
