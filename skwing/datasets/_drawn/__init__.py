"""Drawn faces with exact landmarks."""
