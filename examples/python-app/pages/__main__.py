"""``python -m pages FROM TO``."""

import argparse
from pathlib import Path

from pages.site import write_site

parser = argparse.ArgumentParser(prog="pages", description="Make HTML of a folder of Markdown.")
parser.add_argument("source", type=Path, metavar="FROM")
parser.add_argument("target", type=Path, metavar="TO")
given = parser.parse_args()
for page in write_site(given.source, given.target):
    print(page)
