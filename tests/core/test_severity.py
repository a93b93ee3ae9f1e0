from __future__ import annotations

from crossfade.core.verdict import Ruling, severity


def test_failed_is_worse_than_no_data_than_inconclusive_than_passed() -> None:
    order = [Ruling.PASSED, Ruling.INCONCLUSIVE, Ruling.NO_DATA, Ruling.FAILED]
    assert [severity(ruling) for ruling in order] == sorted({severity(ruling) for ruling in Ruling})
