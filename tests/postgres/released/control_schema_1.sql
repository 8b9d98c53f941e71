-- The control schema: what was done to this database, written in the same transaction as each change.
-- schema_versions and version_scripts are append-only: what is applied now is computed, see applied_versions.

DO $$
BEGIN
    -- Whoever may not create schemas can be given this one: CREATE SCHEMA schema_operator AUTHORIZATION the_role
    IF pg_catalog.to_regnamespace('schema_operator') IS NULL THEN
        CREATE SCHEMA schema_operator;
        COMMENT ON SCHEMA schema_operator IS 'History of schema changes, written by schema-operator. Do not edit.';
    END IF;
END
$$;

CREATE TABLE schema_operator.control_versions (
    version varchar(50) PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT current_timestamp,
    script_name varchar(255) NOT NULL,
    checksum varchar(64) NOT NULL,
    applied_by varchar(255) NOT NULL
);

COMMENT ON TABLE schema_operator.control_versions IS 'Versions of this schema itself.';
COMMENT ON COLUMN schema_operator.control_versions.version IS 'Version of the control schema.';
COMMENT ON COLUMN schema_operator.control_versions.applied_at IS 'When it was installed.';
COMMENT ON COLUMN schema_operator.control_versions.script_name IS 'File it was installed from.';
COMMENT ON COLUMN schema_operator.control_versions.checksum IS 'SHA-256 of that file, in hex.';
COMMENT ON COLUMN schema_operator.control_versions.applied_by IS 'Who installed it.';

CREATE TABLE schema_operator.schema_versions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    version varchar(50) NOT NULL,
    applied_at timestamptz DEFAULT current_timestamp,
    description text,
    script_name varchar(255),
    checksum varchar(64),
    applied_by varchar(255)
);

COMMENT ON TABLE schema_operator.schema_versions IS
    'One row for each version applied and, as VERSION-rollback, for each rolled back. Append-only.';
COMMENT ON COLUMN schema_operator.schema_versions.id IS 'Identity of the row.';
COMMENT ON COLUMN schema_operator.schema_versions.version IS
    'Version as written in the script''s file name; with -rollback at the end for a rollback.';
COMMENT ON COLUMN schema_operator.schema_versions.applied_at IS 'Beginning of the transaction that made the change.';
COMMENT ON COLUMN schema_operator.schema_versions.description IS 'What the change is for.';
COMMENT ON COLUMN schema_operator.schema_versions.script_name IS 'File of the script that was run.';
COMMENT ON COLUMN schema_operator.schema_versions.checksum IS 'SHA-256 of the script that was run, in hex.';
COMMENT ON COLUMN schema_operator.schema_versions.applied_by IS 'Who made the change.';

CREATE TABLE schema_operator.version_scripts (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version_id uuid NOT NULL UNIQUE REFERENCES schema_operator.schema_versions (id),
    version varchar(50) NOT NULL,
    action text NOT NULL CHECK (action IN ('apply', 'rollback')),
    owner text,
    resource_uid text,
    run text NOT NULL,
    up_sql text,
    down_sql text,
    down_name varchar(255),
    verify_sql text
);

COMMENT ON TABLE schema_operator.version_scripts IS
    'What each row of schema_versions was made of: its scripts, its order, its owner. Rollbacks use what is stored here.';
COMMENT ON COLUMN schema_operator.version_scripts.position IS 'Order in which the changes were made.';
COMMENT ON COLUMN schema_operator.version_scripts.version_id IS 'Row of schema_versions.';
COMMENT ON COLUMN schema_operator.version_scripts.version IS 'Version, without -rollback.';
COMMENT ON COLUMN schema_operator.version_scripts.action IS 'apply or rollback.';
COMMENT ON COLUMN schema_operator.version_scripts.owner IS
    'SchemaMigration the version belongs to, as namespace/name; absent where a person ran it without one.';
COMMENT ON COLUMN schema_operator.version_scripts.resource_uid IS 'UID of that object.';
COMMENT ON COLUMN schema_operator.version_scripts.run IS 'Run that made the change: the name of the Job.';
COMMENT ON COLUMN schema_operator.version_scripts.up_sql IS 'Script that applies the version; absent for a rollback.';
COMMENT ON COLUMN schema_operator.version_scripts.down_sql IS
    'Script that undoes the version; for a rollback, the one that was run.';
COMMENT ON COLUMN schema_operator.version_scripts.down_name IS 'File of that script.';
COMMENT ON COLUMN schema_operator.version_scripts.verify_sql IS 'Script that checks the version.';

CREATE TABLE schema_operator.events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    happened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    event text NOT NULL CHECK (event IN ('Installed', 'Applied', 'RolledBack')),
    version varchar(50) NOT NULL,
    actor varchar(255) NOT NULL,
    owner text,
    resource_uid text,
    run text NOT NULL,
    program text NOT NULL,
    database_role text NOT NULL DEFAULT session_user
);

COMMENT ON TABLE schema_operator.events IS 'Who did what, when, and from which resource and run. Append-only.';
COMMENT ON COLUMN schema_operator.events.id IS 'Order of the events.';
COMMENT ON COLUMN schema_operator.events.happened_at IS 'When it happened, by the server''s clock.';
COMMENT ON COLUMN schema_operator.events.event IS 'What happened: Installed (the control schema), Applied or RolledBack.';
COMMENT ON COLUMN schema_operator.events.version IS 'Version it happened to.';
COMMENT ON COLUMN schema_operator.events.actor IS 'Who did it.';
COMMENT ON COLUMN schema_operator.events.owner IS 'SchemaMigration it was done for, as namespace/name.';
COMMENT ON COLUMN schema_operator.events.resource_uid IS 'UID of that object.';
COMMENT ON COLUMN schema_operator.events.run IS 'Run it happened in: the name of the Job.';
COMMENT ON COLUMN schema_operator.events.program IS 'Program that did it, with its version.';
COMMENT ON COLUMN schema_operator.events.database_role IS 'Role that was logged in.';

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
