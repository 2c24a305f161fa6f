"""The desk: a person's encrypted store of letters, and what acts on it."""
