"""Would hedging help, with which delay, at what cost? Pure: sketches, predictions, advice."""
