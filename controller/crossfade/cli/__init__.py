"""Operator verbs over the REST API, and the process entry points."""
