"""Metrics of rankings and of the calibration of probabilities."""
