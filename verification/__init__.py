"""Long campaigns, each with an acceptance threshold: `make verify`. `verification/README.md` describes them."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

if str(ROOT / "tests") not in sys.path:
    sys.path.append(
        str(ROOT / "tests")
    )  # `support`, which campaigns and tests share, is not an installed package
