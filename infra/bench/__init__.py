"""Benchmarks: each prints a table, then one JSON object as its last line, and fails when a side cannot be measured."""
