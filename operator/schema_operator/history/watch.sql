-- What who waits for a version asks. Format as in postgres/queries.sql; runs with any search_path, as any role that may
-- read the view, without parameters, so that it is one message of the simple protocol: poolers pass it on in every mode.

-- applied --
-- What is applied now, and whose it is.
SELECT version, owner FROM schema_operator.applied_versions
