"""`python -m crossfade.demo` runs the demo."""

from __future__ import annotations

import sys

from crossfade.demo.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
