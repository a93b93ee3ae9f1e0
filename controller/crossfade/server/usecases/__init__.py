"""What can be asked of the control plane. One function a use case: `(engine, ..., actor, now)`.

Every function raises `errors.Unavailable` while Postgres is away, `Invalid` with all problems of an input, `NotFound`
and `Conflict`; each is one transaction, or several where its docstring says so.
"""
