"""Real PostgreSQL servers for tests, of several major versions side by side. Nothing but the standard library."""
