"""Pixels: chips of images, crops for the networks, and augmentation."""
