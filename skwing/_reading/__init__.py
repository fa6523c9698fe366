"""How a fitted cascade reads images: its stages, their predictions, and its state as data."""
