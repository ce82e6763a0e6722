"""Metrics of rankings, and of how well probabilities are calibrated."""
