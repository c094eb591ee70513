"""The upstream edge: a pool of HTTP/1.1 connections on which attempts are sent."""
