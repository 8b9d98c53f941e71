"""What was done to a database, as the database itself tells it: the control schema, read and written.

Nothing is imported here, so that importing one module costs one module.
"""
