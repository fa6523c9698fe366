"""Training of a cascade: validation of samples and settings, batches, and the training loop."""
