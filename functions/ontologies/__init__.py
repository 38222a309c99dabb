"""Ontologies: the built-in one (people, emergencies, routes) and how any is read; where the graphs of the lake are."""
