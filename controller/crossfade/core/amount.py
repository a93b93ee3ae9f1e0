"""Amount: numbers as people read them; money and short times with three digits."""

from __future__ import annotations


def exact(value: float) -> str:
    """A value or bound that was declared, to its last digit: "10,000", "0.05", "yes"."""
    return ("no", "yes")[value] if isinstance(value, bool) else f"{value:,.10g}"


def dollars(amount: float) -> str:
    """Money with three significant digits: calls cost fractions of a cent."""
    if amount == 0:
        return "$0"
    if amount >= 1:
        return f"${amount:,.2f}"
    return f"${amount:.{3 - _magnitude(amount)}f}"


def _magnitude(amount: float) -> int:
    """The power of ten above the first digit that is not 0: 0 for 0.5, -2 for 0.005."""
    power = 0
    while amount < 0.1 and power > -9:
        amount *= 10
        power -= 1
    return power


def seconds(amount: float) -> str:
    """A time: "1.82 s", "84 ms"."""
    if amount >= 100:
        return f"{amount:,.0f} s"
    return f"{amount:.3g} s" if amount >= 0.9995 else f"{amount * 1000:.3g} ms"
