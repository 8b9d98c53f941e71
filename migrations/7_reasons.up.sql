-- Keeps with each event why it could not wait for a maintenance window, where it did not.

ALTER TABLE schema_operator.events ADD COLUMN reason text;

COMMENT ON COLUMN schema_operator.events.reason IS
    'Why it was done outside of maintenance windows: spec.emergency of the SchemaMigration; absent where nothing was overridden.';
