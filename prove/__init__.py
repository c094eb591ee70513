"""The long campaigns, at full size: `make prove`."""
