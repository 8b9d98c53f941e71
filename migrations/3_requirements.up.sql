-- What a version requires and what it was applied with, which its rollback must know; and databases that had versions
-- before this history began.

ALTER TABLE schema_operator.version_scripts
    ADD COLUMN down_transaction text NOT NULL DEFAULT 'Auto'
        CONSTRAINT version_scripts_down_transaction_check CHECK (down_transaction IN ('Auto', 'Required', 'Never')),
    ADD COLUMN requires text[] NOT NULL DEFAULT '{}',
    ADD COLUMN variables jsonb;

COMMENT ON COLUMN schema_operator.version_scripts.down_transaction IS
    'How down_sql is divided into transactions: Auto, Required or Never.';
COMMENT ON COLUMN schema_operator.version_scripts.requires IS
    'Versions this one requires, by its script or by the run; they are not rolled back while it is applied.';
COMMENT ON COLUMN schema_operator.version_scripts.variables IS
    'Values of the variables the scripts were filled in with; absent where there were none.';

ALTER TABLE schema_operator.events
    DROP CONSTRAINT events_event_check,
    ADD CONSTRAINT events_event_check CHECK (event IN ('Installed', 'Applied', 'RolledBack', 'Baselined'));

COMMENT ON COLUMN schema_operator.events.event IS
    'What happened: Installed (the control schema), Applied, RolledBack, or Baselined (recorded as applied, not run).';

CREATE OR REPLACE VIEW schema_operator.applied_versions AS
SELECT changes.version, changes.applied_at, changes.owner, changes.description, changes.script_name, changes.checksum,
       changes.applied_by, changes.reversible, changes.position, changes.id, changes.requires
FROM (
    SELECT DISTINCT ON (coalesce(s.version, v.version))
           coalesce(s.version, v.version) AS version, v.applied_at, s.owner, v.description, v.script_name, v.checksum,
           v.applied_by, s.down_sql IS NOT NULL AS reversible, s.position, v.id, coalesce(s.action, 'apply') AS action,
           coalesce(s.requires, '{}') AS requires
    FROM schema_operator.schema_versions AS v
    LEFT JOIN schema_operator.version_scripts AS s ON s.version_id = v.id
    ORDER BY coalesce(s.version, v.version), s.position DESC NULLS LAST, v.applied_at DESC
) AS changes
WHERE changes.action = 'apply'
ORDER BY changes.position NULLS FIRST, changes.applied_at;
