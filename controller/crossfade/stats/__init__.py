"""Evidence to verdicts. Pure; NumPy and SciPy."""
