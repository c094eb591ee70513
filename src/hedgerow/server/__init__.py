"""The HTTP server: listens, reads requests, writes responses."""
