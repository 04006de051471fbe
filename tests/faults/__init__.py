"""Faults made on purpose, and what is lost by each."""
