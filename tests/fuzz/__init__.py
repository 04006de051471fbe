"""Altered files, opened as a user would open them: ``PYTHONPATH=tests python -m fuzz --help``."""
