"""The demo: the whole of Crossfade on one machine, around a local Bedrock, with faults as its scenario says."""
