"""What people read: the report as one HTML page with its JSON, and tables for the terminal. Read-only, prints nothing."""
