"""The benchmark of one evaluation still runs, and its ways come to one judgement."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.evaluation.ways import EVIDENCE, made, ways_of

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("evidence", EVIDENCE)
def test_every_way_comes_to_the_same_judgement(evidence: str) -> None:
    check = EVIDENCE[evidence]
    *past, new = made(np.random.default_rng(1), 41, binary=not check.is_score)
    judgements = {way: evaluate(new) for way, (evaluate, _) in ways_of(check, past).items()}
    anew = judgements.pop("all buckets anew")
    bare = judgements.pop("carried, without the interval")
    assert [judgement == anew for judgement in judgements.values()] == [True, True]
    assert bare.verdicts[0] == replace(anew.verdicts[0], lower=None, upper=None)
    assert anew.verdicts[0].buckets == 41


def test_the_command_prints_a_row_for_every_way() -> None:
    command = ["-m", "benchmarks.evaluation", "--buckets", "20", "--rounds", "1"]
    done = subprocess.run([sys.executable, *command], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 2 + 2 * 4
