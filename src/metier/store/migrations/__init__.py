"""Alembic's migrations of the traffic store; run by metier.store.database when a store is opened."""
