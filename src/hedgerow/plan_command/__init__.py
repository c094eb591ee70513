"""`hedgerow plan`: reads a gateway or a log, or asks an upstream itself; prints what hedging would bring."""
