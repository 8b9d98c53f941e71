-- Forgets how far versions have come that are done in batches.

DROP VIEW schema_operator.open_units;

CREATE VIEW schema_operator.open_units AS
SELECT j.position, j.event, j.version, j.action, j.owner, j.run, j.script_name, j.unit, j.units, j.checksum, j.statements,
       j.seen
FROM schema_operator.statement_journal AS j
WHERE NOT EXISTS (
    SELECT FROM schema_operator.statement_journal AS c
    WHERE c.version = j.version AND c.action = j.action AND c.event = 'Completed' AND c.position >= j.position);

COMMENT ON VIEW schema_operator.open_units IS
    'The journal of versions that are applied or rolled back in part: empty when everything is whole.';

DROP TABLE schema_operator.batch_positions;

DELETE FROM schema_operator.control_versions WHERE version = '6';
