-- Going back with psql alone, when nothing that runs schema-operator is there any more; and what is not applied again
-- afterwards until somebody wants it.

ALTER TABLE schema_operator.version_scripts
    ADD COLUMN down_steps jsonb,
    ADD COLUMN emergency boolean NOT NULL DEFAULT false;

COMMENT ON COLUMN schema_operator.version_scripts.down_steps IS
    'down_sql made ready for emergency_rollback: its statements, with variables filled in, or why it cannot be one '
    'transaction; absent in rows of older versions, and for rollbacks.';
COMMENT ON COLUMN schema_operator.version_scripts.emergency IS
    'Whether a person rolled the version back in SQL, by emergency_rollback, or by hand and then record_rollback.';

CREATE INDEX version_scripts_emergency ON schema_operator.version_scripts (version, position) WHERE emergency;

CREATE TABLE schema_operator.held_seen (
    held bigint NOT NULL REFERENCES schema_operator.version_scripts (position),
    resource_uid text NOT NULL,
    generation bigint NOT NULL,
    run text NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (held, resource_uid)
);

COMMENT ON TABLE schema_operator.held_seen IS
    'Which runs have found a version rolled back by hand first, for each resource: a later generation of the resource '
    'may apply it again. Append-only.';
COMMENT ON COLUMN schema_operator.held_seen.held IS 'Position of the rollback in version_scripts.';
COMMENT ON COLUMN schema_operator.held_seen.resource_uid IS 'UID of the resource the run was for.';
COMMENT ON COLUMN schema_operator.held_seen.generation IS 'Generation that resource had.';
COMMENT ON COLUMN schema_operator.held_seen.run IS 'The run: the name of the Job.';
COMMENT ON COLUMN schema_operator.held_seen.seen_at IS 'When, by the server''s clock.';

CREATE VIEW schema_operator.held_versions AS
SELECT s.version, s.owner, v.applied_at AS rolled_back_at, v.applied_by AS rolled_back_by, s.position,
       (SELECT jsonb_object_agg(h.resource_uid, h.generation) FROM schema_operator.held_seen AS h
        WHERE h.held = s.position) AS seen
FROM schema_operator.version_scripts AS s
JOIN schema_operator.schema_versions AS v ON v.id = s.version_id
WHERE s.emergency AND NOT EXISTS (
    SELECT FROM schema_operator.version_scripts AS later WHERE later.version = s.version AND later.position > s.position)
ORDER BY s.position;

COMMENT ON VIEW schema_operator.held_versions IS
    'Versions that a person rolled back in SQL and that were not applied since: runs leave them alone until the spec of '
    'their resource changes, or Reapply is allowed. In seen, the generation of each resource, by UID, whose run found '
    'that first.';

CREATE FUNCTION schema_operator.version_key(version text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    -- No backslash in a string, so that standard_conforming_strings does not matter.
    -- A number is its length and its digits. Every part begins with a sign that is lower than all that a part may hold,
    -- and every list ends with a lower one, so that a list is lower than what it is the beginning of.
    SELECT (SELECT coalesce(string_agg(format('!%s%s', lpad(length(n.digits)::text, 2, '0'), n.digits), ''
                                       ORDER BY part.number), '')
            FROM unnest(string_to_array(regexp_replace(v.release, '(^|[.])0+([.]0+)*$', ''), '.'))
                 WITH ORDINALITY AS part (digits, number),
                 LATERAL (SELECT ltrim(part.digits, '0') AS digits) AS n)
           || ' '
           || CASE WHEN v.pre = '' THEN '!2' ELSE (
                  SELECT string_agg(CASE WHEN part.word ~ '^[0-9]+$' COLLATE "C"
                                         THEN format('!0%s%s', lpad(length(n.digits)::text, 2, '0'), n.digits)
                                         ELSE format('!1%s', part.word) END, '' ORDER BY part.number)
                  FROM unnest(string_to_array(v.pre, '.')) WITH ORDINALITY AS part (word, number),
                       LATERAL (SELECT ltrim(part.word, '0') AS digits) AS n) END
           || ' '
    FROM (SELECT split_part(core.text, '-', 1) AS release,
                 CASE WHEN strpos(core.text, '-') > 0 THEN substr(core.text, strpos(core.text, '-') + 1) ELSE '' END
                     AS pre
          FROM (SELECT split_part(version, '+', 1) AS text) AS core) AS v
    WHERE length(version) <= 41
      AND version ~ ('^[0-9]+([.][0-9]+)*(-[0-9A-Za-z-]+([.][0-9A-Za-z-]+)*)?'
                     '([+][0-9A-Za-z-]+([.][0-9A-Za-z-]+)*)?$') COLLATE "C";
$$;

COMMENT ON FUNCTION schema_operator.version_key(text) IS
    'Text by whose order (COLLATE "C") versions are higher and lower, as semver says and schema-operator reads it; NULL '
    'for what is no version.';

CREATE FUNCTION schema_operator.say(sentence text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET client_min_messages = notice
AS $$
BEGIN
    RAISE NOTICE '%', sentence;
END
$$;

COMMENT ON FUNCTION schema_operator.say(text) IS
    'Tells the client something, whatever its client_min_messages. A client that has gone is noticed by that.';

CREATE FUNCTION schema_operator.applied_list(owner text) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce('Applied are ' || string_agg(format('%s (%s)', a.version, coalesce(a.owner, 'none')), ', '
                                                 ORDER BY a.position DESC NULLS LAST), 'Nothing is applied')
    FROM (SELECT a.version, a.owner, a.position FROM schema_operator.applied_versions AS a
          WHERE applied_list.owner IS NULL OR coalesce(a.owner, 'none') = applied_list.owner
          ORDER BY a.position DESC NULLS LAST LIMIT 30) AS a;
$$;

COMMENT ON FUNCTION schema_operator.applied_list(text) IS
    'The newest versions that are applied, with their owners, as a sentence; of one owner, or of all where it is NULL.';

CREATE FUNCTION schema_operator.emergency_owner(target_version text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    target text := schema_operator.version_key(target_version);
    nothing boolean := target = schema_operator.version_key('0');
    chosen text := nullif(current_setting('schema_operator.owner', true), '');
    owners text[];
BEGIN
    IF target IS NULL THEN
        RAISE EXCEPTION '% is not a version', coalesce(quote_literal(target_version), 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = concat(schema_operator.applied_list(chosen), '.');
    END IF;
    SELECT array_agg(DISTINCT coalesce(a.owner, 'none')) INTO owners
    FROM schema_operator.applied_versions AS a
    WHERE nothing OR schema_operator.version_key(a.version) = target;
    IF owners IS NULL AND NOT nothing THEN
        RAISE EXCEPTION 'version % is not applied, so there is no way back to it', target_version
            USING ERRCODE = 'undefined_object', HINT = concat(schema_operator.applied_list(chosen), '; 0 is before the first.');
    END IF;
    IF chosen IS NOT NULL THEN
        IF NOT EXISTS (SELECT FROM schema_operator.applied_versions AS a WHERE coalesce(a.owner, 'none') = chosen) THEN
            RAISE EXCEPTION 'the setting schema_operator.owner is %, and nothing of that owner is applied', chosen
                USING ERRCODE = 'undefined_object', HINT = concat(schema_operator.applied_list(NULL), '.');
        END IF;
        RETURN nullif(chosen, 'none');
    END IF;
    IF cardinality(owners) > 1 THEN
        RAISE EXCEPTION 'several owners have applied versions here, and % does not say whose are meant: %',
                        target_version, array_to_string(owners, ', ')
            USING ERRCODE = 'ambiguous_parameter',
                  HINT = format('Choose one, then call again: SET schema_operator.owner = %L;', owners[1]);
    END IF;
    RETURN nullif(owners[1], 'none');
END
$$;

COMMENT ON FUNCTION schema_operator.emergency_owner(text) IS
    'Whose versions are rolled back to reach one: those of its owner, unless the setting schema_operator.owner says '
    'otherwise; NULL for versions without an owner, which that setting calls none.';

CREATE FUNCTION schema_operator.emergency_versions(target_version text, owner text)
RETURNS TABLE (version text, "position" bigint, reversible boolean, obstacle text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT a.version, a.position, s.down_sql IS NOT NULL,
           CASE WHEN s.down_steps IS NOT NULL THEN s.down_steps ->> 'obstacle'
                WHEN s.variables IS NOT NULL THEN
                    'its script uses variables, which the schema-operator that applied it did not fill in' END
    FROM schema_operator.applied_versions AS a
    LEFT JOIN schema_operator.version_scripts AS s ON s.version_id = a.id
    WHERE a.owner IS NOT DISTINCT FROM emergency_versions.owner
      AND (schema_operator.version_key(a.version) COLLATE "C" > schema_operator.version_key(target_version) COLLATE "C")
          IS NOT FALSE
    ORDER BY a.position DESC NULLS LAST;
$$;

COMMENT ON FUNCTION schema_operator.emergency_versions(text, text) IS
    'The versions of an owner above a version, in the order in which they are rolled back.';

CREATE FUNCTION schema_operator.require_no_open_unit(owner text) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    half record;
BEGIN
    SELECT u.version, u.unit, u.units, u.script_name,
           CASE u.action WHEN 'apply' THEN 'applied' ELSE 'rolled back' END AS done,
           CASE u.event WHEN 'Finished' THEN 'done' ELSE 'begun' END AS state INTO half
    FROM schema_operator.open_units AS u
    WHERE u.owner IS NOT DISTINCT FROM require_no_open_unit.owner
      AND (u.event = 'Finished' OR u.event = 'Started' AND NOT EXISTS (
              SELECT FROM schema_operator.open_units AS later
              WHERE later.version = u.version AND later.action = u.action AND later.unit = u.unit
                AND later.position > u.position))
    ORDER BY u.position DESC LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'version % is % in part: unit % of % of % is %', half.version, half.done, half.unit, half.units,
                        half.script_name, half.state
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'What was done: SELECT unit, event, statements FROM schema_operator.open_units ORDER BY position',
                  HINT = format('Let a run finish it (schema-operator run, also from a laptop), or undo by hand what is '
                                'there of %1$s and write that down: CALL schema_operator.record_rollback(%1$L);',
                                half.version);
    END IF;
END
$$;

COMMENT ON FUNCTION schema_operator.require_no_open_unit(text) IS
    'Raises where a version of an owner is applied or rolled back in part.';

CREATE FUNCTION schema_operator.require_emergency_possible(target_version text, owner text) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    going text[];
    oldest bigint;
    names text;
    first text;
    why text;
BEGIN
    PERFORM schema_operator.require_no_open_unit(owner);
    SELECT array_agg(v.version), min(coalesce(v.position, 0)),
           string_agg(v.version, ', ') FILTER (WHERE NOT v.reversible),
           (array_agg(v.version) FILTER (WHERE NOT v.reversible))[1]
      INTO going, oldest, names, first
    FROM schema_operator.emergency_versions(target_version, owner) AS v;
    IF names IS NOT NULL THEN
        RAISE EXCEPTION 'no rollback SQL was stored with %, so nothing is rolled back', names
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = format('Go back to %1$s, undo it by hand, then write that down: CALL '
                                'schema_operator.record_rollback(%1$L); and go on from there.', first);
    END IF;
    SELECT v.version, v.obstacle INTO first, why
    FROM schema_operator.emergency_versions(target_version, owner) AS v WHERE v.obstacle IS NOT NULL LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the rollback of % cannot be part of this transaction: %', first, why
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = format('Its script: SELECT down_sql FROM schema_operator.version_scripts WHERE version = %L '
                                  'AND action = ''apply'' ORDER BY position DESC LIMIT 1', first),
                  HINT = format('Go back to %1$s, run its script by hand with psql, then write that down: CALL '
                                'schema_operator.record_rollback(%1$L); and go on from there.', first);
    END IF;
    SELECT string_agg(format('%s (%s)', a.version, coalesce(a.owner, 'none')), ', ' ORDER BY a.position) INTO names
    FROM schema_operator.applied_versions AS a
    WHERE a.owner IS DISTINCT FROM require_emergency_possible.owner AND a.position > oldest;
    IF names IS NOT NULL THEN
        RAISE EXCEPTION 'later versions of others may build on what would be rolled back: %', names
            USING ERRCODE = 'dependent_objects_still_exist',
                  HINT = 'Roll those back first, each owner by itself: SET schema_operator.owner = ''NAMESPACE/NAME'';';
    END IF;
    SELECT format('%s (%s) requires %s', a.version, coalesce(a.owner, 'none'), needed.version), a.version INTO names, first
    FROM schema_operator.applied_versions AS a, unnest(a.requires) AS needed (version)
    WHERE a.version <> ALL (going) AND EXISTS (
        SELECT FROM unnest(going) AS gone (version)
        WHERE schema_operator.version_key(gone.version) = schema_operator.version_key(needed.version))
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '%, which would be rolled back', names
            USING ERRCODE = 'dependent_objects_still_exist', HINT = format('Roll %s back first.', first);
    END IF;
END
$$;

COMMENT ON FUNCTION schema_operator.require_emergency_possible(text, text) IS
    'Raises where the versions of an owner above a version cannot be rolled back in one transaction, and says what to do.';

CREATE FUNCTION schema_operator.archive_before(destroyed jsonb, schemas name[], version text, run text) RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    resolved jsonb;
BEGIN
    -- pg_catalog comes first where it is not named, so nothing there is hidden from the function.
    PERFORM set_config('search_path', coalesce((SELECT string_agg(quote_ident(s.name), ', ' ORDER BY s.number)
                                                FROM unnest(schemas) WITH ORDINALITY AS s (name, number)
                                                WHERE s.name <> 'pg_catalog'), ''), true);
    resolved := schema_operator.resolve_destroyed(destroyed);
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    RETURN schema_operator.archive(
        resolved, version, 'rollback', run,
        '{"max_bytes": null, "above": "Skip", "keep_seconds": 2592000, "no_key": "Skip"}');
END
$$;

COMMENT ON FUNCTION schema_operator.archive_before(jsonb, name[], text, text) IS
    'Archives for 30 days what a statement of a rollback script is about to destroy, its names being looked up in some '
    'schemas. In an emergency nothing is refused: what cannot be archived is said.';

CREATE FUNCTION schema_operator.run_down_steps(version text, script text, steps jsonb, run text) RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $$
DECLARE
    our_role text := current_setting('role');
    script_role text;
    statements text[];
    places text[];
    destroyed jsonb[];
    number integer;
    last integer;
    place text := 'before its first statement';
    statement text := '';
    archived jsonb;
    schemas name[];
    state text;
    message text;
    detail text;
    advice text;
BEGIN
    SELECT array_agg(s.value ->> 'sql' ORDER BY s.number),
           array_agg(CASE WHEN s.value ? 'line'
                          THEN format('statement %s of %s, line %s of %s', s.number,
                                      jsonb_array_length(steps -> 'statements'), s.value ->> 'line', script)
                          ELSE format('the script %s, run whole', script) END ORDER BY s.number),
           array_agg(CASE WHEN jsonb_array_length(s.value -> 'destroyed') > 0 THEN s.value -> 'destroyed' END
                     ORDER BY s.number),
           jsonb_agg(jsonb_build_object('what', 'what is destroyed by ' || script,
                                        'skipped', 'not all of its statements can be read'))
               FILTER (WHERE NOT s.value ? 'line' OR s.value ? 'unread')
      INTO statements, places, destroyed, archived
    FROM jsonb_array_elements(steps -> 'statements') WITH ORDINALITY AS s (value, number);
    last := coalesce(cardinality(statements), 0);
    archived := CASE WHEN archived IS NULL THEN '[]' ELSE jsonb_build_array(archived -> 0) END;
    PERFORM set_config('search_path', p.reset_val, true) FROM pg_settings AS p WHERE p.name = 'search_path';
    BEGIN
        -- From here to the end of the script names are looked up where the script looks them up. So nothing of ours below
        -- uses an operator or a name without its schema.
        FOR number IN 1 .. last LOOP
            place := places[number];
            statement := statements[number];
            IF destroyed[number] IS NOT NULL THEN
                schemas := pg_catalog.current_schemas(false);
                script_role := pg_catalog.current_setting('role');
                PERFORM pg_catalog.set_config('role', our_role, true);
                archived := archived OPERATOR(pg_catalog.||)
                    schema_operator.archive_before(destroyed[number], schemas, version, run);
                PERFORM pg_catalog.set_config('role', script_role, true);
            END IF;
            EXECUTE statement;
        END LOOP;
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
                                advice = PG_EXCEPTION_HINT;
        RAISE EXCEPTION 'the rollback of % failed, %: %', version, place, message
            USING ERRCODE = state,
                  DETAIL = concat_ws(E'\n', nullif(detail, ''), left(statement, 1000)),
                  HINT = concat_ws(' ', nullif(advice, ''),
                                   'Nothing was changed: all versions of this call are as they were before it.');
    END;
    -- What the script has set for the session, and only that, is left to the caller to see: nothing is set here any more.
    RETURN archived;
END
$$;

COMMENT ON FUNCTION schema_operator.run_down_steps(text, text, jsonb, text) IS
    'Runs the statements of a rollback script as its run would, and archives before each what it destroys; gives what was '
    'archived. An error names the statement.';

CREATE FUNCTION schema_operator.check_constraints(version text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    deferred text;
    state text;
    message text;
    detail text;
BEGIN
    BEGIN
        SET CONSTRAINTS ALL IMMEDIATE;
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
        RAISE EXCEPTION 'the rollback of % failed, at its end, by a deferred constraint: %', version, message
            USING ERRCODE = state, DETAIL = detail,
                  HINT = 'Nothing was changed: all versions of this call are as they were before it.';
    END;
    SELECT string_agg(DISTINCT format('%I.%I', n.nspname, c.conname), ', ') INTO deferred
    FROM pg_constraint AS c JOIN pg_namespace AS n ON n.oid = c.connamespace
    WHERE c.condeferred AND NOT EXISTS (
        SELECT FROM pg_constraint AS same
        WHERE same.conname = c.conname AND same.connamespace = c.connamespace AND NOT same.condeferrable);
    IF deferred IS NOT NULL THEN
        EXECUTE format('SET CONSTRAINTS %s DEFERRED', deferred);
    END IF;
END
$$;

COMMENT ON FUNCTION schema_operator.check_constraints(text) IS
    'Checks what the COMMIT after a rollback script would check, and makes constraints as they are in a new transaction.';

CREATE FUNCTION schema_operator.drop_temporary_tables(kept oid[]) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    names text;
BEGIN
    SELECT string_agg(format('pg_temp.%I', c.relname), ', ') INTO names
    FROM pg_class AS c WHERE c.relnamespace = pg_my_temp_schema() AND c.relkind IN ('r', 'p') AND c.oid <> ALL (kept);
    IF names IS NOT NULL THEN
        EXECUTE format('DROP TABLE %s CASCADE', names);
    END IF;
END
$$;

COMMENT ON FUNCTION schema_operator.drop_temporary_tables(oid[]) IS
    'Drops the temporary tables of this session but for some.';

CREATE FUNCTION schema_operator.record_by_hand(
    version text, owner text, resource_uid text, description text, script_name text, down_sql text, down_name text,
    run text, program text) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO schema_operator.statement_journal
           (event, version, action, owner, run, script_name, unit, units, checksum, statements)
    SELECT DISTINCT ON (u.action) 'Completed', u.version, u.action, record_by_hand.owner, record_by_hand.run,
           u.script_name, u.units, u.units, u.checksum, ''
    FROM schema_operator.open_units AS u WHERE u.version = record_by_hand.version ORDER BY u.action, u.position DESC;

    WITH version_row AS (
        INSERT INTO schema_operator.schema_versions (version, description, script_name, checksum, applied_by)
        VALUES (record_by_hand.version || '-rollback', record_by_hand.description, left(record_by_hand.script_name, 255),
                encode(sha256(convert_to(record_by_hand.down_sql, 'UTF8')), 'hex'), schema_operator.person())
        RETURNING id
    ), event AS (
        INSERT INTO schema_operator.events (event, version, actor, owner, resource_uid, run, program)
        VALUES ('RolledBack', record_by_hand.version, schema_operator.person(), record_by_hand.owner,
                record_by_hand.resource_uid, record_by_hand.run, record_by_hand.program)
    )
    INSERT INTO schema_operator.version_scripts
           (version_id, version, action, owner, resource_uid, run, down_sql, down_name, emergency)
    SELECT id, record_by_hand.version, 'rollback', record_by_hand.owner, record_by_hand.resource_uid, record_by_hand.run,
           record_by_hand.down_sql, record_by_hand.down_name, true
    FROM version_row;
$$;

COMMENT ON FUNCTION schema_operator.record_by_hand(text, text, text, text, text, text, text, text, text) IS
    'Writes down that a version was rolled back by a person in SQL: the rows a run writes, with the person''s name.';

CREATE FUNCTION schema_operator.put_back_by_hand(version text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM schema_operator.say(
        CASE WHEN r.value ->> 'skipped' IS NULL
             THEN format('put back %s: %s rows; %s were there as archived, %s have changed since and stay', r.value ->> 'what',
                         r.value ->> 'restored', r.value ->> 'kept', r.value ->> 'conflicts')
                  || CASE WHEN (r.value ->> 'conflicts')::bigint > 0
                          THEN '; see schema_operator.recovery_conflicts, recovery ' || (r.value ->> 'recovery') ELSE '' END
             ELSE format('not put back: %s: %s', r.value ->> 'what', r.value ->> 'skipped') END)
    FROM jsonb_array_elements(schema_operator.restore_version(version, schema_operator.person()))
         WITH ORDINALITY AS r (value, number) ORDER BY r.number;
END
$$;

COMMENT ON FUNCTION schema_operator.put_back_by_hand(text) IS
    'Puts back what a version archived when it was applied, and says what.';

CREATE FUNCTION schema_operator.roll_back_by_hand("position" bigint, run text) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    applied record;
    steps jsonb;
    before jsonb;
    tables oid[];
    our_role text := current_setting('role');
    ourselves text := session_user;
    path text;
    path_was_set boolean := false;
    changed text;
    archived jsonb;
BEGIN
    SELECT s.version, s.owner, s.resource_uid, s.down_sql, s.down_name, s.down_steps,
           coalesce(s.down_name, 'the rollback script of ' || s.version) AS script INTO STRICT applied
    FROM schema_operator.version_scripts AS s WHERE s.position = roll_back_by_hand.position;
    steps := coalesce(applied.down_steps, jsonb_build_object('statements', jsonb_build_array(
                          jsonb_build_object('sql', applied.down_sql))));
    before := (SELECT jsonb_object_agg(p.name, p.setting) FROM pg_settings AS p
               WHERE p.context IN ('user', 'superuser') AND p.name <> 'search_path');
    tables := ARRAY(SELECT c.oid FROM pg_class AS c WHERE c.relnamespace = pg_my_temp_schema());

    archived := schema_operator.run_down_steps(applied.version, applied.script, steps, run);

    -- A script may have set anything for the session. It is put back, so that neither the next script nor the person goes
    -- on with it. What the search_path of the person was cannot be seen from here: the caller sets it to what the role and
    -- the database say.
    path := pg_catalog.current_setting('search_path');
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    IF path <> 'pg_catalog, pg_temp' THEN
        path_was_set := true;
    END IF;
    IF session_user <> ourselves THEN
        PERFORM set_config('session_authorization', ourselves, false);
    END IF;
    IF current_setting('role') <> our_role THEN
        PERFORM set_config('role', our_role, false);
    END IF;
    FOR changed IN
        SELECT p.name FROM pg_settings AS p WHERE before ? p.name AND before ->> p.name IS DISTINCT FROM p.setting
    LOOP
        PERFORM set_config(changed, before ->> changed, false);
    END LOOP;
    PERFORM schema_operator.check_constraints(applied.version);
    PERFORM schema_operator.drop_temporary_tables(tables);

    PERFORM schema_operator.say(
        CASE WHEN a.value ->> 'skipped' IS NULL
             THEN format('archived %s: %s rows, in schema_operator.archive_%s', a.value ->> 'what', a.value ->> 'rows',
                         a.value ->> 'archive')
             ELSE format('not archived: %s: %s', a.value ->> 'what', a.value ->> 'skipped') END)
    FROM jsonb_array_elements(archived) WITH ORDINALITY AS a (value, number) ORDER BY a.number;
    IF coalesce((steps -> 'restore')::boolean, true) THEN
        PERFORM schema_operator.put_back_by_hand(applied.version);
    END IF;
    PERFORM schema_operator.record_by_hand(
        applied.version, applied.owner, applied.resource_uid, 'Rollback of ' || applied.version, applied.script,
        applied.down_sql, applied.down_name, run, 'schema_operator.emergency_rollback');
    PERFORM schema_operator.say(format('rolled back %s with %s', applied.version, applied.script));
    RETURN path_was_set;
END
$$;

COMMENT ON FUNCTION schema_operator.roll_back_by_hand(bigint, text) IS
    'Rolls back one version, by its position in version_scripts: runs its script, puts back what the version archived, '
    'writes it down. Says whether the script has set the search_path of the session.';

CREATE PROCEDURE schema_operator.emergency_rollback(target_version varchar(50))
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    whose text;
    positions bigint[];
    one bigint;
    run text;
    path_was_set boolean := false;
    without_timeout boolean := current_setting('lock_timeout') = '0';
BEGIN
    PERFORM schema_operator.take_lock();
    whose := schema_operator.emergency_owner(target_version);
    SELECT array_agg(v.position) INTO positions FROM schema_operator.emergency_versions(target_version, whose) AS v;
    IF positions IS NULL THEN
        PERFORM schema_operator.say(format('Nothing of %s is above version %s, so nothing is rolled back. %s.',
                                           coalesce(whose, 'none'), target_version, schema_operator.applied_list(NULL)));
        RETURN;
    END IF;
    PERFORM schema_operator.require_emergency_possible(target_version, whose);
    IF without_timeout THEN
        -- Whoever waits for a lock makes everybody wait who comes after.
        PERFORM set_config('lock_timeout', '10s', true);
    END IF;
    run := 'emergency-' || pg_current_xact_id()::text;
    FOREACH one IN ARRAY positions LOOP
        path_was_set := schema_operator.roll_back_by_hand(one, run) OR path_was_set;
    END LOOP;
    IF without_timeout THEN
        PERFORM set_config('lock_timeout', '0', false);
    END IF;
    PERFORM schema_operator.say(format(
        '%s rolled back by %s. They are not applied again before the spec of %s is changed, or Reapply is allowed.',
        CASE cardinality(positions) WHEN 1 THEN '1 version' ELSE cardinality(positions) || ' versions' END,
        schema_operator.person(), coalesce(whose, 'their resource')));
    -- The server notices that a client has gone when it sends it something for the second time. A client that was killed
    -- is gone before this commits, and then nothing of it is left.
    PERFORM pg_sleep(0.2);
    PERFORM schema_operator.say('Everything above takes effect with the end of this transaction.');
    PERFORM pg_sleep(0);
    IF path_was_set THEN
        PERFORM set_config('search_path', p.reset_val, false) FROM pg_settings AS p WHERE p.name = 'search_path';
    END IF;
END
$$;

COMMENT ON PROCEDURE schema_operator.emergency_rollback(varchar) IS
    'Rolls back all versions above one, newest first, in one transaction, with the SQL that was stored with them: what to '
    'do when nothing that runs schema-operator is there. Of the owner of that version, or of the one in the setting '
    'schema_operator.owner. 0 is before the first.';

CREATE PROCEDURE schema_operator.record_rollback(version varchar(50))
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    wanted text := schema_operator.version_key(version);
    found_version record;
    later text;
BEGIN
    PERFORM schema_operator.take_lock();
    SELECT a.version, a.owner, a.position, s.resource_uid, s.down_sql, s.down_name INTO found_version
    FROM schema_operator.applied_versions AS a
    LEFT JOIN schema_operator.version_scripts AS s ON s.version_id = a.id
    WHERE schema_operator.version_key(a.version) = wanted
    ORDER BY a.version = record_rollback.version DESC LIMIT 1;
    IF NOT FOUND THEN
        SELECT u.version, u.owner, NULL::bigint AS position, NULL::text AS resource_uid, NULL::text AS down_sql,
               NULL::text AS down_name INTO found_version
        FROM schema_operator.open_units AS u
        WHERE schema_operator.version_key(u.version) = wanted AND u.action = 'apply' LIMIT 1;
    END IF;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'version % is not applied, so no rollback of it is written down',
                        coalesce(record_rollback.version, 'NULL')
            USING ERRCODE = 'undefined_object', HINT = concat(schema_operator.applied_list(NULL), '.');
    END IF;
    SELECT string_agg(a.version, ', ' ORDER BY a.position DESC) INTO later
    FROM schema_operator.applied_versions AS a
    WHERE a.owner IS NOT DISTINCT FROM found_version.owner AND a.position > coalesce(found_version.position, 0)
      AND found_version.position IS NOT NULL;
    IF later IS NOT NULL THEN
        RAISE EXCEPTION 'version % is not the newest of %: % came after it', found_version.version,
                        coalesce(found_version.owner, 'none'), later
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Roll those back first.';
    END IF;
    PERFORM schema_operator.record_by_hand(
        found_version.version, found_version.owner, found_version.resource_uid,
        'Rollback of ' || found_version.version || ', done by hand',
        coalesce(found_version.down_name, 'by hand'), found_version.down_sql, found_version.down_name,
        'emergency-' || pg_current_xact_id()::text, 'schema_operator.record_rollback');
    PERFORM schema_operator.say(format('written down: %s was rolled back by hand by %s', found_version.version,
                                       schema_operator.person()));
END
$$;

COMMENT ON PROCEDURE schema_operator.record_rollback(varchar) IS
    'Writes down that a version was rolled back by hand, or that what was there of one applied in part was undone. Runs '
    'nothing. Only for the newest version of its owner.';

REVOKE ALL ON FUNCTION
    schema_operator.version_key(text),
    schema_operator.say(text),
    schema_operator.applied_list(text),
    schema_operator.emergency_owner(text),
    schema_operator.emergency_versions(text, text),
    schema_operator.require_no_open_unit(text),
    schema_operator.require_emergency_possible(text, text),
    schema_operator.archive_before(jsonb, name[], text, text),
    schema_operator.run_down_steps(text, text, jsonb, text),
    schema_operator.check_constraints(text),
    schema_operator.drop_temporary_tables(oid[]),
    schema_operator.record_by_hand(text, text, text, text, text, text, text, text, text),
    schema_operator.put_back_by_hand(text),
    schema_operator.roll_back_by_hand(bigint, text)
FROM PUBLIC;
REVOKE ALL ON PROCEDURE
    schema_operator.emergency_rollback(varchar),
    schema_operator.record_rollback(varchar)
FROM PUBLIC;
