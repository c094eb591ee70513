"""Processes: the supervisor, its workers, and what lies between them."""
