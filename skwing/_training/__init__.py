"""How a cascade is trained: checked samples, settings, batches, and the training loop."""
