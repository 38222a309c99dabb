"""Where does it run? Every client and server: object stores, logs, catalogue, delivery, runtimes, command line, deployment."""

import functions  # noqa: F401 - before any library that it keeps quiet
