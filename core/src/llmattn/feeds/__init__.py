"""Scores for a model: opened, asked for where they lack, and given a batch at a time."""
