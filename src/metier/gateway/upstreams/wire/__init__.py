"""A small HTTP/1.1 client: pooled connections, raw bytes in and out, answers as they come.

It stands here because a general client costs several times the processor time of a whole call through the gateway; see
docs/upstreams.md for the figures.
"""
