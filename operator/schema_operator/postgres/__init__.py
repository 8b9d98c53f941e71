"""PostgreSQL as a server: connecting, owning, sessions and what their errors mean. Knows nothing of versions.

Nothing is imported here, so that importing one module costs one module.
"""
