"""The client side of a worker: listening, connections, requests in and responses out."""
