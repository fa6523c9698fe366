"""Readers of published face data sets, and the protocols they are evaluated by."""
