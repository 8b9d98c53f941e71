-- Reading and writing the control schema. Format as in postgres/queries.sql; all run with the search_path pinned.

-- installed --
-- Whether the control schema is there: its table of versions.
SELECT to_regclass('schema_operator.control_versions') IS NOT NULL;

-- needed --
-- What a run does with the control schema; part of the two queries below.
VALUES ('control_versions', 'SELECT'), ('applied_versions', 'SELECT'),
       ('schema_versions', 'SELECT'), ('schema_versions', 'INSERT'),
       ('version_scripts', 'SELECT'), ('version_scripts', 'INSERT'),
       ('events', 'INSERT'),
       ('open_units', 'SELECT'), ('statement_journal', 'SELECT'), ('statement_journal', 'INSERT'),
       ('archives', 'SELECT'),
       ('held_versions', 'SELECT'), ('held_seen', 'SELECT'), ('held_seen', 'INSERT'),
       ('batch_positions', 'SELECT'), ('batch_positions', 'INSERT')

-- access --
-- Whose the control schema is, whose its tables are, whether their owner is a superuser, whether this role may become
-- him, and whether it may do with them what a run does.
-- Asked of the catalog, by oid: names of a schema are an error for who has no USAGE on it.
SELECT pg_get_userbyid(n.nspowner)::text, pg_get_userbyid(t.relowner)::text, coalesce(o.rolsuper, false),
       coalesce(pg_has_role(session_user, t.relowner,
                            CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END),
                false),
       has_schema_privilege(n.oid, 'USAGE') AND coalesce(bool_and(has_table_privilege(c.oid, needed.privilege)), false)
FROM pg_namespace AS n
CROSS JOIN ({needed}) AS needed (relation, privilege)
LEFT JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = needed.relation
LEFT JOIN pg_class AS t ON t.relnamespace = n.oid AND t.relname = 'control_versions'
LEFT JOIN pg_roles AS o ON o.oid = t.relowner
WHERE n.nspname = 'schema_operator'
GROUP BY n.oid, n.nspowner, t.relowner, o.rolsuper;

-- trust_functions --
-- The bodies of our functions are not checked when they are made: tests call them, and a first run would wait for it.
SET LOCAL check_function_bodies = off;

-- control_version --
-- Versions of the control schema that were installed.
SELECT version FROM schema_operator.control_versions;

-- record_control_version --
-- A version of the control schema was installed.
WITH event AS (
    INSERT INTO schema_operator.events (event, version, actor, owner, resource_uid, run, program)
    VALUES ('Installed', %(version)s::text, %(actor)s::text, %(owner)s::text, %(resource_uid)s::text, %(run)s::text,
            %(program)s::text)
)
INSERT INTO schema_operator.control_versions (version, script_name, checksum, applied_by)
VALUES (%(version)s::text, %(script_name)s::text, %(checksum)s::text, %(actor)s::text)
RETURNING pg_current_xact_id()::text;

-- history --
-- All that a run must know, in one round trip and without the text of a script: the versions of the control schema,
-- whether this role may write down what it does, what is applied now, in the order it was applied, the journal of what
-- is so in part, what a person rolled back in SQL, and whether there are archives to drop. Where the control schema is
-- missing or older, this is an error, and is asked for apart.
SELECT (SELECT string_agg(version, ' ') FROM schema_operator.control_versions),
       (SELECT coalesce(bool_and(has_table_privilege(c.oid, needed.privilege)), false)
        FROM ({needed}) AS needed (relation, privilege)
        JOIN pg_namespace AS n ON n.nspname = 'schema_operator'
        JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = needed.relation),
       (SELECT json_agg(json_build_array(version, owner, checksum, reversible, requires)
                        ORDER BY position NULLS FIRST, applied_at)::text
        FROM schema_operator.applied_versions),
       (SELECT json_agg(json_build_array(version, action, owner, unit, units, checksum, event,
                                         CASE event WHEN 'Started' THEN statements ELSE '' END, seen::int8[], batches)
                        ORDER BY position)::text
        FROM schema_operator.open_units),
       (SELECT json_agg(json_build_array(version, owner, position,
                                         to_char(rolled_back_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
                                         coalesce(rolled_back_by, ''), coalesce(seen, '{{}}'))
                        ORDER BY position)::text
        FROM schema_operator.held_versions),
       (SELECT count(*) > 0
        FROM pg_class AS c
        JOIN schema_operator.archives AS a ON a.archive_table = c.relname AND a.expires_at < clock_timestamp()
        WHERE c.relnamespace = 'schema_operator'::regnamespace AND pg_has_role(c.relowner, 'USAGE')
          AND has_function_privilege('schema_operator.drop_expired_archives()', 'EXECUTE'));

-- applied --
-- What is applied now, in the order it was applied, by columns that every version of the control schema has.
SELECT version, owner, checksum FROM schema_operator.applied_versions ORDER BY position NULLS FIRST, applied_at;

-- may_install --
-- Whether this role may make the control schema: the schema itself, or what is in one that was made for it.
SELECT coalesce((SELECT has_schema_privilege(oid, 'USAGE') AND has_schema_privilege(oid, 'CREATE')
                 FROM pg_namespace WHERE nspname = 'schema_operator'),
                has_database_privilege(current_database(), 'CREATE'));

-- recorded_versions --
-- Every version that was ever applied, recorded or rolled back, with its owner.
SELECT DISTINCT coalesce(s.version, regexp_replace(v.version, '-rollback$', '')), s.owner
FROM schema_operator.schema_versions AS v
LEFT JOIN schema_operator.version_scripts AS s ON s.version_id = v.id;

-- stored_texts --
-- The scripts some versions were applied with, from their last applications.
SELECT DISTINCT ON (version) version, up_sql FROM schema_operator.version_scripts
WHERE version = ANY (%(versions)s::text[]) AND action = 'apply' ORDER BY version, position DESC;

-- stored_scripts --
-- The scripts a version was applied with, from its last application, or the last one up to a position.
SELECT up_sql, down_sql, down_name, variables::text, down_transaction FROM schema_operator.version_scripts
WHERE version = %(version)s::text AND action = 'apply' AND position <= coalesce(%(until)s::int8, 9223372036854775807)
ORDER BY position DESC LIMIT 1;

-- newest_position --
-- Where the history stands.
SELECT coalesce(max(position), 0) FROM schema_operator.version_scripts;

-- changes_since --
-- What was done since the history stood at a position.
SELECT s.version, s.action = 'rollback',
       EXISTS (SELECT FROM schema_operator.events AS e
               WHERE e.run = s.run AND e.version = s.version AND e.event = 'Baselined'),
       s.emergency, s.owner, s.resource_uid, v.checksum
FROM schema_operator.version_scripts AS s
JOIN schema_operator.schema_versions AS v ON v.id = s.version_id
WHERE s.position > %(position)s::int8
ORDER BY s.position;

-- applied_until --
-- What was applied when the history stood at a position: as applied_versions says it, of the rows up to there. Rows that
-- were written by hand have none, and count always.
SELECT c.version, c.owner, c.checksum, c.reversible, c.requires
FROM (SELECT DISTINCT ON (coalesce(s.version, v.version))
             coalesce(s.version, v.version) AS version, s.owner, v.checksum, s.down_sql IS NOT NULL AS reversible,
             coalesce(s.requires, '{}') AS requires, s.position, v.applied_at, coalesce(s.action, 'apply') AS action
      FROM schema_operator.schema_versions AS v
      LEFT JOIN schema_operator.version_scripts AS s ON s.version_id = v.id
      WHERE s.position IS NULL OR s.position <= %(position)s::int8
      ORDER BY coalesce(s.version, v.version), s.position DESC NULLS LAST, v.applied_at DESC) AS c
WHERE c.action = 'apply'
ORDER BY c.position NULLS FIRST, c.applied_at;

-- record --
-- A version was applied, recorded or rolled back: the row of the specification, its scripts, its event, in one statement.
WITH version_row AS (
    INSERT INTO schema_operator.schema_versions (version, description, script_name, checksum, applied_by)
    VALUES (%(recorded_version)s::text, %(description)s::text, %(script_name)s::text, %(checksum)s::text,
            %(actor)s::text)
    RETURNING id
), event AS (
    INSERT INTO schema_operator.events (event, version, actor, owner, resource_uid, run, program, reason)
    VALUES (%(event)s::text, %(version)s::text, %(actor)s::text, %(owner)s::text, %(resource_uid)s::text,
            %(run)s::text, %(program)s::text, %(reason)s::text)
)
INSERT INTO schema_operator.version_scripts
       (version_id, version, action, owner, resource_uid, run, up_sql, down_sql, down_name, verify_sql,
        down_transaction, requires, variables, down_steps)
SELECT id, %(version)s::text, %(action)s::text, %(owner)s::text, %(resource_uid)s::text, %(run)s::text,
       %(up_sql)s::text, %(down_sql)s::text, %(down_name)s::text, %(verify_sql)s::text,
       %(down_transaction)s::text, string_to_array(%(requires)s::text, ' '), %(variables)s::jsonb,
       %(down_steps)s::jsonb
FROM version_row
RETURNING pg_current_xact_id()::text;

-- record_seen --
-- A run has found versions that a person rolled back in SQL.
INSERT INTO schema_operator.held_seen (held, resource_uid, generation, run)
SELECT held.position, %(resource_uid)s::text, %(generation)s::int8, %(run)s::text
FROM unnest(%(positions)s::int8[]) AS held (position)
ON CONFLICT DO NOTHING;

-- seen --
-- Whether such a version was found for a resource before.
SELECT EXISTS (
    SELECT FROM schema_operator.held_seen
    WHERE held = %(position)s::int8 AND resource_uid = %(resource_uid)s::text);

-- recorded --
-- Whether a run has done an action to a version: what became of a transaction whose COMMIT was not answered.
SELECT EXISTS (
    SELECT FROM schema_operator.version_scripts
    WHERE run = %(run)s::text AND version = %(version)s::text AND action = %(action)s::text);

-- record_unit --
-- A unit of a version was begun or is done.
INSERT INTO schema_operator.statement_journal
       (event, version, action, owner, run, script_name, unit, units, checksum, statements, seen)
VALUES (%(event)s::text, %(version)s::text, %(action)s::text, %(owner)s::text, %(run)s::text, %(script_name)s::text,
        %(unit)s::int4, %(units)s::int4, %(checksum)s::text, %(statements)s::text, %(seen)s::int8[]::oid[])
RETURNING pg_current_xact_id()::text;

-- complete_units --
-- A version that was done unit by unit is whole.
INSERT INTO schema_operator.statement_journal
       (event, version, action, owner, run, script_name, unit, units, checksum, statements)
SELECT 'Completed', version, action, %(owner)s::text, %(run)s::text, script_name, units, units, checksum, ''
FROM schema_operator.open_units
WHERE version = %(version)s::text AND action = %(action)s::text
ORDER BY position DESC LIMIT 1;

-- unit_recorded --
-- Whether a run has written a row into the journal: what became of a transaction whose COMMIT was not answered.
SELECT EXISTS (
    SELECT FROM schema_operator.statement_journal
    WHERE run = %(run)s::text AND version = %(version)s::text AND action = %(action)s::text AND unit = %(unit)s::int4
      AND event = %(event)s::text);

-- begin_batches --
-- An undertaking in batches begins: its row before the first batch. The journal has just got the row it belongs to.
INSERT INTO schema_operator.batch_positions
       (started, batch, version, action, run, last_key, rows_walked, rows_changed, seconds)
SELECT max(position), 0, %(version)s::text, %(action)s::text, %(run)s::text, %(last)s::text, 0, 0, 0
FROM schema_operator.statement_journal
WHERE version = %(version)s::text AND action = %(action)s::text AND event = 'Started'
RETURNING started;

-- record_batch --
-- A batch is done: what follows a statement that has counted its rows (WITH …, counted (changed, strayed) AS (…)). Runs with
-- a script's search_path. Gives how many rows it changed, how many of these were not its own, and how long it took.
INSERT INTO schema_operator.batch_positions
       (started, batch, version, action, run, after_key, upto_key, last_key, rows_walked, rows_changed, seconds)
SELECT %(started)s::pg_catalog.int8, %(batch)s::pg_catalog.int4, %(version)s::pg_catalog.text,
       %(action)s::pg_catalog.text, %(run)s::pg_catalog.text, %(after)s::pg_catalog.text, %(upto)s::pg_catalog.text,
       %(last)s::pg_catalog.text, %(walked)s::pg_catalog.int8, counted.changed,
       pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - pg_catalog.statement_timestamp())
FROM counted
RETURNING rows_changed, (SELECT counted.strayed FROM counted), seconds, pg_catalog.pg_current_xact_id()::pg_catalog.text;

-- last_batch --
-- How far the newest undertaking with a version has come, and how many rows it went through and changed.
SELECT p.started, p.batch, p.after_key, p.upto_key, p.last_key, s.walked::int8, s.changed::int8, p.seconds
FROM schema_operator.batch_positions AS p,
     LATERAL (SELECT sum(o.rows_walked), sum(o.rows_changed) FROM schema_operator.batch_positions AS o
              WHERE o.started = p.started) AS s (walked, changed)
WHERE p.started = (SELECT max(position) FROM schema_operator.statement_journal
                   WHERE version = %(version)s::text AND action = %(action)s::text AND event = 'Started')
ORDER BY p.batch DESC LIMIT 1;

-- batch_recorded --
-- Whether a batch is done: what became of a transaction whose COMMIT was not answered.
SELECT EXISTS (
    SELECT FROM schema_operator.batch_positions WHERE started = %(started)s::int8 AND batch = %(batch)s::int4);

-- applied_by_run --
-- The versions that a run has applied: what became of transactions whose COMMITs were not answered.
SELECT version FROM schema_operator.version_scripts WHERE run = %(run)s::text AND action = 'apply';

-- archive_rights --
-- Whether archives are known to the control schema, and whether this role may make them, and put them back.
SELECT count(*) = 4, coalesce(bool_and(has_function_privilege(p.oid, 'EXECUTE')), false)
       AND has_schema_privilege('schema_operator', 'CREATE')
       AND has_table_privilege('schema_operator.archives', 'INSERT')
       AND has_table_privilege('schema_operator.recoveries', 'SELECT')
       AND has_table_privilege('schema_operator.recoveries', 'INSERT')
       AND has_table_privilege('schema_operator.recovery_conflicts', 'INSERT')
FROM pg_proc AS p
WHERE p.pronamespace = to_regnamespace('schema_operator')
  AND p.proname IN ('resolve_destroyed', 'foresee_archives', 'archive', 'restore_version');

-- foresee_archives --
-- What is against archives of what statements will destroy, for each statement. Runs under the script's search_path.
SELECT s.number::pg_catalog.int4,
       schema_operator.foresee_archives(
           schema_operator.resolve_destroyed(s.one OPERATOR(pg_catalog.->) 'destroyed'),
           s.one OPERATOR(pg_catalog.->) 'policy')::pg_catalog.text
FROM pg_catalog.jsonb_array_elements(%(statements)s::pg_catalog.jsonb) WITH ORDINALITY AS s (one, number);

-- resolve_destroyed --
-- The tables whose columns or rows a statement is about to destroy. Runs under the script's search_path.
SELECT schema_operator.resolve_destroyed(%(destroyed)s::pg_catalog.jsonb)::pg_catalog.text;

-- archive --
-- Copy them.
SELECT schema_operator.archive({resolved}::pg_catalog.jsonb, {version}, {action}, {run}, {policy}::pg_catalog.jsonb);

-- restorable --
-- Whether a version has ever destroyed something that was archived.
SELECT EXISTS (SELECT FROM schema_operator.archives WHERE version = %(version)s::text AND action = 'apply');

-- restore_version --
-- Put back what the last application of a version has destroyed.
SELECT schema_operator.restore_version({version}, {actor});

-- drop_expired_archives --
-- Drop the archives that are older than they are kept, as far as nobody reads them.
SELECT schema_operator.drop_expired_archives();
