"""Six rollouts end to end: real processes, real sockets, real labelled text."""
