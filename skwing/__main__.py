"""``python -m skwing``: the command line."""

import sys

from skwing._cli import main

if __name__ == "__main__":
    sys.exit(main())
