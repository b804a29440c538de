"""`python -m sebre`."""

import sys

from sebre.cli.commands import main

if __name__ == "__main__":
    sys.exit(main())
