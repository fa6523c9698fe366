"""Pixels: chips of images, the crops that networks read, and their random changes in training."""
