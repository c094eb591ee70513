from support.process_fixtures import serve, simulate

__all__ = ["serve", "simulate"]
