"""``python -m buildfile``."""

import sys

from buildfile.cli import main

sys.exit(main())
