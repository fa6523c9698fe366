"""Readers of published face data sets, with their evaluation protocols."""
