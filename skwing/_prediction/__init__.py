"""Prediction of a fitted cascade: its stages, uncertainty, and fitted state."""
