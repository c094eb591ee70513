"""Models and drivers that tests share."""
