"""`python -m oncopixel.reporting.prdiff`."""

import sys

from .command import main

sys.exit(main())
