"""Sockets: streams (plain and TLS alike), name lookup, and facts of TCP."""
