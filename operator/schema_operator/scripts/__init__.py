"""Scripts: read, put in order, cut into statements, refused when they cannot run. Knows no database and no cluster.

Nothing is imported here, so that importing one module costs one module.
"""
