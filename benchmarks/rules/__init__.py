"""Rules: the same made traffic through other products' decision rules and through Crossfade's own judge."""
