"""The gateway's processes: a supervisor, the workers that answer calls, and the ingester that fills the database."""
