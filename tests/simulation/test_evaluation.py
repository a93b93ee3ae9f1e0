"""The benchmark of one evaluation still runs, and its ways come to one judgement."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.evaluation.ways import EVIDENCE, made, ways_of
from crossfade.core.verdict import Judgement, Verdict

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("evidence", EVIDENCE)
def test_every_way_comes_to_the_same_judgement(evidence: str) -> None:
    check = EVIDENCE[evidence]
    *past, new = made(np.random.default_rng(1), 41, binary=not check.is_score)
    judgements = {way: evaluate(new) for way, (evaluate, _) in ways_of(check, past).items()}
    anew = judgements.pop("all buckets anew")
    bare = judgements.pop("carried, without the interval")
    (verdict,) = anew.verdicts
    for judgement in judgements.values():
        assert to_rounding(judgement, anew) == verdict
    assert to_rounding(bare, anew) == replace(verdict, lower=None, upper=None)
    assert verdict.buckets == 41


def to_rounding(judgement: Judgement, anew: Judgement) -> Verdict:
    """Its verdict with the evidence of `anew`, once they agree: sums in other blocks differ in a last bit."""
    (verdict,), (other,) = judgement.verdicts, anew.verdicts
    assert verdict.log_e_worse == pytest.approx(other.log_e_worse, abs=1e-9)
    assert judgement.log_e_worse == pytest.approx(anew.log_e_worse, abs=1e-9)
    return replace(verdict, log_e_worse=other.log_e_worse)


def test_the_command_prints_a_row_for_every_way() -> None:
    command = ["-m", "benchmarks.evaluation", "--buckets", "20", "--rounds", "1"]
    done = subprocess.run([sys.executable, *command], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 2 + len(EVIDENCE) * 4
