"""docs/sidecar.md tells of every setting and every header."""

from __future__ import annotations

import re
from pathlib import Path

from crossfade.core.variables import KNOWN
from crossfade.sidecar.channel import VARIABLE

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "sidecar.md").read_text()
SOURCE = "".join(path.read_text() for path in (ROOT / "controller" / "crossfade" / "sidecar").glob("*.py"))


def test_every_setting_is_on_the_page_and_known_to_every_process() -> None:
    used = set(re.findall(r"CROSSFADE_SIDECAR_[A-Z_]+[A-Z]", SOURCE)) - {VARIABLE}
    assert used == {name for name in KNOWN if name.startswith("CROSSFADE_SIDECAR_")}
    assert used == set(re.findall(r"CROSSFADE_SIDECAR_[A-Z_]+[A-Z]", PAGE))


def test_every_header_a_caller_may_send_is_on_the_page() -> None:
    read = set(re.findall(r'"(x-crossfade-(?:key|conversation|tier|label|deadline|token)-?)', SOURCE))
    names = ("key", "conversation", "tier", "label-", "deadline", "token")
    assert read == {f"x-crossfade-{name}" for name in names}
    assert all(f"`{name}" in PAGE for name in read)
