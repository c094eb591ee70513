"""The event loop of a worker, its deadlines and its tasks."""
