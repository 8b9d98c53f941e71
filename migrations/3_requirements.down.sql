-- Forgets what versions require and were filled in with. A version that was recorded without being run is one that was
-- applied, as far as the older control schema can say.

DROP VIEW schema_operator.applied_versions;

CREATE VIEW schema_operator.applied_versions AS
SELECT changes.version, changes.applied_at, changes.owner, changes.description, changes.script_name, changes.checksum,
       changes.applied_by, changes.reversible, changes.position, changes.id
FROM (
    SELECT DISTINCT ON (coalesce(s.version, v.version))
           coalesce(s.version, v.version) AS version, v.applied_at, s.owner, v.description, v.script_name, v.checksum,
           v.applied_by, s.down_sql IS NOT NULL AS reversible, s.position, v.id, coalesce(s.action, 'apply') AS action
    FROM schema_operator.schema_versions AS v
    LEFT JOIN schema_operator.version_scripts AS s ON s.version_id = v.id
    ORDER BY coalesce(s.version, v.version), s.position DESC NULLS LAST, v.applied_at DESC
) AS changes
WHERE changes.action = 'apply'
ORDER BY changes.position NULLS FIRST, changes.applied_at;

COMMENT ON VIEW schema_operator.applied_versions IS
    'What is applied now, in the order it was applied: of each version the last change, where that is no rollback.';

UPDATE schema_operator.events SET event = 'Applied' WHERE event = 'Baselined';

ALTER TABLE schema_operator.events
    DROP CONSTRAINT events_event_check,
    ADD CONSTRAINT events_event_check CHECK (event IN ('Installed', 'Applied', 'RolledBack'));

COMMENT ON COLUMN schema_operator.events.event IS 'What happened: Installed (the control schema), Applied or RolledBack.';

ALTER TABLE schema_operator.version_scripts DROP COLUMN down_transaction, DROP COLUMN requires, DROP COLUMN variables;

DELETE FROM schema_operator.control_versions WHERE version = '3';
