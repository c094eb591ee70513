"""A simulation around one worker: its time, poller, sockets, name lookup, clients and upstream, drawn from a seed."""
