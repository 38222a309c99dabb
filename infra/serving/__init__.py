"""Serving models over the Open Inference Protocol, version 2."""
