-- Forgets what was done to this database, and nothing else.

DROP VIEW schema_operator.applied_versions;
DROP TABLE schema_operator.events;
DROP TABLE schema_operator.version_scripts;
DROP TABLE schema_operator.schema_versions;
DROP TABLE schema_operator.control_versions;
DROP SCHEMA schema_operator;
