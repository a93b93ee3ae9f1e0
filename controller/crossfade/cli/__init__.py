"""Operator verbs over the REST API, and the entry points of the processes."""
