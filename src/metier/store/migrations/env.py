"""What Alembic runs: migrates over the connection that metier.store.database passes in, inside its transaction."""

from __future__ import annotations

from alembic import context

from metier.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
