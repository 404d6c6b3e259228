"""Checks on documents. Each leaves findings as facts; none decides what happens to a message."""
