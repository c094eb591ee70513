"""What the gateway tells about itself: counts, metrics, logs."""
