from support.process_fixtures import serve, serve_shared, simulate
from support.status_page import browser, show

__all__ = ["browser", "serve", "serve_shared", "show", "simulate"]
