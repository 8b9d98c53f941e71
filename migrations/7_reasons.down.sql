-- Forgets why something could not wait.

ALTER TABLE schema_operator.events DROP COLUMN reason;

DELETE FROM schema_operator.control_versions WHERE version = '7';
