"""Arguments: what the benchmarks' command lines have in common."""

from __future__ import annotations

import argparse


def count(text: str) -> int:
    """For `argparse`: a whole number, 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a count: 1 or more")
    return int(text)
