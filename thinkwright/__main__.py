"""``python -m thinkwright``."""

import sys

from thinkwright.cli import main

sys.exit(main())
