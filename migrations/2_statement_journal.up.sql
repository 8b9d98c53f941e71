-- The journal of versions that cannot be one transaction: which of their units were begun and which are done. A version
-- that is one transaction has no row here.

CREATE TABLE schema_operator.statement_journal (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    happened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    event text NOT NULL CHECK (event IN ('Started', 'Failed', 'Finished', 'Completed')),
    version varchar(50) NOT NULL,
    action text NOT NULL CHECK (action IN ('apply', 'rollback')),
    owner text,
    run text NOT NULL,
    script_name varchar(255) NOT NULL,
    unit integer NOT NULL CHECK (unit > 0),
    units integer NOT NULL,
    checksum varchar(64) NOT NULL,
    statements text NOT NULL,
    seen oid[]
);

COMMENT ON TABLE schema_operator.statement_journal IS
    'What was done of versions that cannot be one transaction, unit by unit. Append-only; see open_units.';
COMMENT ON COLUMN schema_operator.statement_journal.position IS 'Order of the rows.';
COMMENT ON COLUMN schema_operator.statement_journal.happened_at IS 'When it happened, by the server''s clock.';
COMMENT ON COLUMN schema_operator.statement_journal.event IS
    'Started (a statement that cannot be in a transaction is about to run), Failed (it has failed and left nothing), '
    'Finished (the unit is done), Completed (nothing before this row is open: the version is in schema_versions, or what was '
    'begun is not wanted any more).';
COMMENT ON COLUMN schema_operator.statement_journal.version IS 'Version, without -rollback.';
COMMENT ON COLUMN schema_operator.statement_journal.action IS 'apply or rollback.';
COMMENT ON COLUMN schema_operator.statement_journal.owner IS 'SchemaMigration it was done for, as namespace/name.';
COMMENT ON COLUMN schema_operator.statement_journal.run IS 'Run it happened in: the name of the Job.';
COMMENT ON COLUMN schema_operator.statement_journal.script_name IS 'File of the script.';
COMMENT ON COLUMN schema_operator.statement_journal.unit IS 'Number of the unit in its script, from 1.';
COMMENT ON COLUMN schema_operator.statement_journal.units IS 'How many units the script had.';
COMMENT ON COLUMN schema_operator.statement_journal.checksum IS
    'SHA-256 over the words and signs of the unit, in hex: blanks and comments do not count.';
COMMENT ON COLUMN schema_operator.statement_journal.statements IS 'The statements of the unit.';
COMMENT ON COLUMN schema_operator.statement_journal.seen IS
    'For a statement that builds an index concurrently, the indexes that were there before: what is invalid and not among '
    'them when a run resumes was left behind by it.';

CREATE INDEX statement_journal_version ON schema_operator.statement_journal (version, action, position);

CREATE VIEW schema_operator.open_units AS
SELECT j.position, j.event, j.version, j.action, j.owner, j.run, j.script_name, j.unit, j.units, j.checksum, j.statements,
       j.seen
FROM schema_operator.statement_journal AS j
WHERE NOT EXISTS (
    SELECT FROM schema_operator.statement_journal AS c
    WHERE c.version = j.version AND c.action = j.action AND c.event = 'Completed' AND c.position >= j.position);

COMMENT ON VIEW schema_operator.open_units IS
    'The journal of versions that are applied or rolled back in part: empty when everything is whole.';
