"""Numbers of the command line, as types of argparse."""

import argparse


def whole_number(text):
    """Number of decimals."""
    number = int(text)
    if not 0 <= number <= 15:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 15, got {text}")
    return number


def seed(text):
    """Seed of random numbers."""
    number = int(text)
    if not 0 <= number < 2**32:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to {2**32 - 1}, got {text}")
    return number


def positive_number(text):
    """Number of samples, objects or epochs, of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text}")
    return number


def length_or_column(text):
    """Length above 0, or the text if it is no number: the name of a column."""
    try:
        number = float(text)
    except ValueError:
        return text
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text}")
    return number
