from support.process_fixtures import serve, serve_shared, simulate

__all__ = ["serve", "serve_shared", "simulate"]
