-- How far versions have come that are done in batches: each batch of rows has its row here, written in the same
-- transaction as the rows were changed. So a run that resumes goes on right behind the last batch that was committed.

CREATE TABLE schema_operator.batch_positions (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    happened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    started bigint NOT NULL,
    batch integer NOT NULL CHECK (batch >= 0),
    version varchar(50) NOT NULL,
    action text NOT NULL CHECK (action IN ('apply', 'rollback')),
    run text NOT NULL,
    after_key text,
    upto_key text,
    last_key text,
    rows_walked bigint NOT NULL,
    rows_changed bigint NOT NULL,
    seconds double precision NOT NULL,
    UNIQUE (started, batch)
);

COMMENT ON TABLE schema_operator.batch_positions IS
    'The batches of rows that were done of versions that say batch=TABLE.COLUMN. Append-only.';
COMMENT ON COLUMN schema_operator.batch_positions.position IS 'Order of the rows.';
COMMENT ON COLUMN schema_operator.batch_positions.happened_at IS 'When it happened, by the server''s clock.';
COMMENT ON COLUMN schema_operator.batch_positions.started IS
    'Position of the row in statement_journal that says that the statement was begun.';
COMMENT ON COLUMN schema_operator.batch_positions.batch IS
    'Number of the batch, from 1; 0 is the row that is written before the first, with the last key there was then.';
COMMENT ON COLUMN schema_operator.batch_positions.version IS 'Version, without -rollback.';
COMMENT ON COLUMN schema_operator.batch_positions.action IS 'apply or rollback.';
COMMENT ON COLUMN schema_operator.batch_positions.run IS 'Run it happened in: the name of the Job.';
COMMENT ON COLUMN schema_operator.batch_positions.after_key IS
    'The batch has the rows with keys above this one, as text; absent in the first, which has all up to upto_key.';
COMMENT ON COLUMN schema_operator.batch_positions.upto_key IS 'The highest key of the batch, as text.';
COMMENT ON COLUMN schema_operator.batch_positions.last_key IS
    'The highest key when the version was begun, as text; rows above it came later and are left alone.';
COMMENT ON COLUMN schema_operator.batch_positions.rows_walked IS 'How many rows of the table the batch went through.';
COMMENT ON COLUMN schema_operator.batch_positions.rows_changed IS 'How many rows its statement inserted, changed or deleted.';
COMMENT ON COLUMN schema_operator.batch_positions.seconds IS 'How long its statement took.';

CREATE OR REPLACE VIEW schema_operator.open_units AS
SELECT j.position, j.event, j.version, j.action, j.owner, j.run, j.script_name, j.unit, j.units, j.checksum, j.statements,
       j.seen,
       (SELECT coalesce(max(b.batch), 0) FROM schema_operator.batch_positions AS b WHERE b.started = j.position) AS batches
FROM schema_operator.statement_journal AS j
WHERE NOT EXISTS (
    SELECT FROM schema_operator.statement_journal AS c
    WHERE c.version = j.version AND c.action = j.action AND c.event = 'Completed' AND c.position >= j.position);
