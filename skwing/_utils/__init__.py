"""Common utilities: validation, layouts of landmarks, files, random numbers, warnings."""
