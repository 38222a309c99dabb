"""The crash test: faults at every step of an event's way, and a verdict against what was uploaded."""
