"""The light net in production: exports, converters, runtimes, and their checks and timings."""
