"""The page `/status`: its files, as responses of the admin port. Its data come from `/status.json`.

The page loads nothing from other origins; its Content-Security-Policy forbids it. Charts are drawn by uPlot, which is
included here as npm ships it, with its licence.
"""

from importlib.resources import files

from hedgerow.core.response import Response

_POLICY = (
    b"Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
    b" connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
    b"X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"
)
_FILES = {
    b"/status": ("index.html", b"text/html; charset=utf-8"),
    b"/status/status.css": ("status.css", b"text/css; charset=utf-8"),
    b"/status/main.js": ("main.js", b"text/javascript; charset=utf-8"),
    b"/status/format.js": ("format.js", b"text/javascript; charset=utf-8"),
    b"/status/charts.js": ("charts.js", b"text/javascript; charset=utf-8"),
    b"/status/requests.js": ("requests.js", b"text/javascript; charset=utf-8"),
    b"/status/routes.js": ("routes.js", b"text/javascript; charset=utf-8"),
    b"/status/plan.js": ("plan.js", b"text/javascript; charset=utf-8"),
    b"/status/icon.svg": ("icon.svg", b"image/svg+xml"),
    b"/status/uPlot.js": ("uPlot.iife.min.js", b"text/javascript; charset=utf-8"),
    b"/status/uPlot.css": ("uPlot.min.css", b"text/css; charset=utf-8"),
    b"/status/uPlot.LICENSE.txt": ("uPlot.LICENSE.txt", b"text/plain; charset=utf-8"),
}


def pages() -> dict[bytes, Response]:
    """Read the files; return the response of each, by its path on the admin port."""
    here = files(__name__)
    return {
        path: Response(200, (here / name).read_bytes(), content_type=content_type, headers=_POLICY)
        for path, (name, content_type) in _FILES.items()
    }
