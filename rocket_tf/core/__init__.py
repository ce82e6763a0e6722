"""The method: two nets in one model, the hints between them, and their objective."""
