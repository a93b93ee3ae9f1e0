"""Reads: what people and ticks read of a day of observations, from its rows and from what was summed up."""
