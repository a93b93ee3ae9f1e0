"""A local Bedrock for demos and tests, with faults on demand and real small models behind it.

`python -m crossfade.sandbox` runs it; `crossfade.sandbox.running.Sandbox` runs it as a child process.
What it speaks, its faults and its control API: `README.md` in this folder.
"""
