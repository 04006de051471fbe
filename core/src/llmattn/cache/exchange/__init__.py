"""Scores on their way between caches and files."""
