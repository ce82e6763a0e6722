"""The light net in production: exports, converters, runtimes, and what proves and times them."""
