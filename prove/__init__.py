"""The long campaigns, at full size: `make prove`. What each is and how to write one: `prove/README.md`."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

if str(ROOT / "tests") not in sys.path:
    sys.path.append(str(ROOT / "tests"))  # the campaigns use the tests' tools; these are no installed package
