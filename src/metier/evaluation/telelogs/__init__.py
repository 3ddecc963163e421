"""The TeleLogs benchmark: how it is read, answered and scored, and what is published about it."""
