"""Counts, metrics and logs."""
