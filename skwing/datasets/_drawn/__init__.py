"""Generated faces with exact landmarks."""
