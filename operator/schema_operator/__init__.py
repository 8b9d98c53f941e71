"""Change a PostgreSQL schema from Kubernetes."""
