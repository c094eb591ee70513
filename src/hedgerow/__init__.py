"""hedgerow: a hedging HTTP gateway for a slow and unreliable upstream."""

__version__ = "0.1.0"
