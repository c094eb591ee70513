from support.process_fixtures import serve, simulate
from support.status_page import browser, show

__all__ = ["browser", "serve", "show", "simulate"]
