-- Forgets which versions are applied in part.

DROP VIEW schema_operator.open_units;
DROP TABLE schema_operator.statement_journal;

DELETE FROM schema_operator.control_versions WHERE version = '2';
