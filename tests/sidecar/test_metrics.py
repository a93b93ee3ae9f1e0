"""What Prometheus reads adds up to what was counted."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from crossfade.core.histogram import duration_bin
from crossfade.core.observation import Row
from crossfade.core.split import Variant
from crossfade.shim.recorder import Recorder
from crossfade.sidecar.metrics import Totals

ROW = Row(
    route=3,
    rollout=1,
    step=0,
    variant=Variant.GREEN,
    bucket=0,
    model='a "b"\n',
    region="us-east-1",
    calls=3,
    judged=3,
    errors=1,
    busy=1,
    outcomes={"ok": 2, "outage": 1},
    attempts={"ok": 2, "outage": 2},
    latency={duration_bin(0.2): 2},
    tokens_in=5,
    tokens_out=7,
    cost_n=2,
    cost_sum=0.25,
    groups={4: (2, 1)},
    keyed=2,
)


def test_counts_add_up_and_histograms_are_cumulative() -> None:
    totals = Totals()
    totals.add([ROW, ROW], None)
    text = totals.text({"workers": ("Worker processes.", 2)}, {"sent": 3})
    labels = 'route="3",variant="green"'
    assert f'crossfade_calls_total{{{labels},outcome="ok"}} 4' in text
    assert f'crossfade_tokens_total{{{labels},direction="output"}} 14' in text
    assert f"crossfade_cost_dollars_total{{{labels}}} 0.5" in text
    assert f'crossfade_served_total{{{labels},model="a \\"b\\"\\n",region="us-east-1"}} 6' in text
    buckets = re.findall(r'crossfade_call_seconds_bucket\{.*le="([^"]+)"\} (\d+)', text)
    assert buckets[:3] == [("0.1", "0"), ("0.25", "4"), ("0.5", "4")]
    assert buckets[-1] == ("+Inf", "4")
    [total] = re.findall(r"crossfade_call_seconds_sum\{.*\} (\S+)", text)
    assert float(total) == pytest.approx(0.8, rel=0.02)
    assert "crossfade_workers 2" in text
    for line in text.splitlines():
        assert line.startswith("#") or re.fullmatch(r'[a-z_]+(\{([a-z]+="([^"\\\n]|\\.)*",?)+\})? \S+', line), line


def test_a_count_of_millions_is_told_to_the_last_call() -> None:
    totals = Totals()
    many = replace(ROW, outcomes={"ok": 12_345_678}, tokens_in=9_876_543_210, cost_n=0, cost_sum=1234567.25)
    totals.add([many, replace(ROW, outcomes={"ok": 1})], None)
    text = totals.text({"snapshot_version": ("Version.", 1_234_567)}, {"sent": 12_345_678})
    assert 'outcome="ok"} 12345679\n' in text
    assert 'direction="input"} 9876543215\n' in text
    assert 'variant="green"} 1234567.5\n' in text
    assert "crossfade_snapshot_version 1234567\n" in text


def test_rows_of_workers_add_up_in_one_recorder() -> None:
    recorder = Recorder()
    recorder.add([ROW])
    recorder.add([ROW])
    [row] = recorder.take()
    assert (row.calls, row.keyed, row.cost_sum) == (6, 4, 0.5)
    assert row.outcomes == {"ok": 4, "outage": 2}
    assert row.groups == {4: (4, 2)}
    assert row.latency == {duration_bin(0.2): 4}
    assert recorder.take() == []
