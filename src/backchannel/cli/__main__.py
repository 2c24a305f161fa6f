"""``python -m backchannel.cli``: the command line where no script is installed."""

import sys

from backchannel.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
