"""Runs the migrations over the connection that `crossfade.server.migrate` opened."""

from __future__ import annotations

from alembic import context

from crossfade.server.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
