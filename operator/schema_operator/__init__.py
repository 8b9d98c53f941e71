"""Change a PostgreSQL schema from Kubernetes."""

__version__ = "0.1.0"
"""As in pyproject.toml; written here because asking the package's metadata costs every start 20 ms."""
