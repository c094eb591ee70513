"""A world for one worker: time, event loop, network, callers and upstream, all simulated and all drawn from a seed."""
