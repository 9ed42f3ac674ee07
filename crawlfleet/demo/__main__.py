"""`python -m crawlfleet.demo`: serve the demo site."""

import sys

from crawlfleet.demo.server import main

if __name__ == "__main__":
    sys.exit(main())
