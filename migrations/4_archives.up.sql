-- Archives: what a script will destroy is copied before it does, and can be put back. All functions run with the rights of
-- who calls them, and nobody may call them but the owner and those he lets.

CREATE TABLE schema_operator.archives (
    id bigint PRIMARY KEY,
    archived_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz,
    transaction text NOT NULL DEFAULT pg_current_xact_id()::text,
    after_position bigint NOT NULL,
    version varchar(50) NOT NULL,
    action text NOT NULL CHECK (action IN ('apply', 'rollback')),
    run text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('column', 'table', 'rows')),
    table_schema text NOT NULL,
    table_name text NOT NULL,
    table_oid oid NOT NULL,
    columns jsonb NOT NULL,
    key_columns jsonb NOT NULL,
    archive_table text NOT NULL UNIQUE,
    archive_oid oid NOT NULL,
    rows bigint NOT NULL,
    bytes bigint NOT NULL,
    definition jsonb
);

COMMENT ON TABLE schema_operator.archives IS
    'What was copied before a script destroyed it. Append-only: an archive is gone when its table is; see available_archives.';
COMMENT ON COLUMN schema_operator.archives.id IS 'Order of the archives.';
COMMENT ON COLUMN schema_operator.archives.archived_at IS 'When it was copied, by the server''s clock.';
COMMENT ON COLUMN schema_operator.archives.expires_at IS
    'After which a run drops the archive table; absent where it is kept for good.';
COMMENT ON COLUMN schema_operator.archives.transaction IS
    'Transaction that destroyed it: what one change destroyed belongs together.';
COMMENT ON COLUMN schema_operator.archives.after_position IS
    'Position of the last change in version_scripts before this one.';
COMMENT ON COLUMN schema_operator.archives.version IS 'Version whose script destroyed it, without -rollback.';
COMMENT ON COLUMN schema_operator.archives.action IS 'apply or rollback.';
COMMENT ON COLUMN schema_operator.archives.run IS 'Run it happened in: the name of the Job.';
COMMENT ON COLUMN schema_operator.archives.kind IS 'What was destroyed: column (some of a table''s), table or rows.';
COMMENT ON COLUMN schema_operator.archives.table_schema IS 'Schema of the table, when it was copied.';
COMMENT ON COLUMN schema_operator.archives.table_name IS 'Name of the table, when it was copied.';
COMMENT ON COLUMN schema_operator.archives.table_oid IS 'Oid of the table: one that was renamed since is found by it.';
COMMENT ON COLUMN schema_operator.archives.columns IS
    'The columns that were copied, each with its number, name, type and definition; without those of the key for a column.';
COMMENT ON COLUMN schema_operator.archives.key_columns IS
    'The columns by which a row is known again, in the same form; empty where the table had no key.';
COMMENT ON COLUMN schema_operator.archives.archive_table IS 'Table in this schema that holds the copy.';
COMMENT ON COLUMN schema_operator.archives.archive_oid IS
    'Oid of that table; where it is another, the database was restored from a dump, and table_oid means nothing.';
COMMENT ON COLUMN schema_operator.archives.rows IS 'Rows in it.';
COMMENT ON COLUMN schema_operator.archives.bytes IS 'Its size.';
COMMENT ON COLUMN schema_operator.archives.definition IS
    'For a table, the statements that make it again (create), and those that follow when its rows are back (finish, '
    'foreign_keys); for columns the latter two.';

CREATE INDEX archives_version ON schema_operator.archives (version, id);
CREATE INDEX archives_table ON schema_operator.archives (table_name, id);

CREATE TABLE schema_operator.recoveries (
    id bigint PRIMARY KEY,
    recovered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    transaction text NOT NULL DEFAULT pg_current_xact_id()::text,
    archive bigint NOT NULL REFERENCES schema_operator.archives (id),
    recovered_by varchar(255) NOT NULL,
    database_role text NOT NULL DEFAULT session_user,
    restored bigint NOT NULL,
    kept bigint NOT NULL,
    gone bigint NOT NULL,
    conflicts bigint NOT NULL,
    left_out jsonb NOT NULL
);

COMMENT ON TABLE schema_operator.recoveries IS 'What was put back from archives, by whom. Append-only.';
COMMENT ON COLUMN schema_operator.recoveries.id IS 'Order of the recoveries.';
COMMENT ON COLUMN schema_operator.recoveries.recovered_at IS 'When it was put back, by the server''s clock.';
COMMENT ON COLUMN schema_operator.recoveries.transaction IS 'Transaction that did it.';
COMMENT ON COLUMN schema_operator.recoveries.archive IS 'Archive it was put back from.';
COMMENT ON COLUMN schema_operator.recoveries.recovered_by IS 'Who did it.';
COMMENT ON COLUMN schema_operator.recoveries.database_role IS 'Role that was logged in.';
COMMENT ON COLUMN schema_operator.recoveries.restored IS 'Rows that were inserted, or whose values were put back.';
COMMENT ON COLUMN schema_operator.recoveries.kept IS 'Archived rows that were there already, as they were archived.';
COMMENT ON COLUMN schema_operator.recoveries.gone IS
    'Archived values whose rows are not there any more; they stay in the archive.';
COMMENT ON COLUMN schema_operator.recoveries.conflicts IS
    'Archived rows that are something else now, and stay so; listed in recovery_conflicts.';
COMMENT ON COLUMN schema_operator.recoveries.left_out IS
    'Statements of the definition that could not be repeated, each with the SQLSTATE.';

CREATE TABLE schema_operator.recovery_conflicts (
    recovery bigint NOT NULL,
    archive bigint NOT NULL,
    key jsonb NOT NULL,
    reason text NOT NULL
);

COMMENT ON TABLE schema_operator.recovery_conflicts IS
    'Archived rows that were not put back, because there is something newer in their place. Append-only.';
COMMENT ON COLUMN schema_operator.recovery_conflicts.recovery IS 'Row of recoveries.';
COMMENT ON COLUMN schema_operator.recovery_conflicts.archive IS 'Archive that holds the older values.';
COMMENT ON COLUMN schema_operator.recovery_conflicts.key IS 'Key of the row, in the table and in the archive.';
COMMENT ON COLUMN schema_operator.recovery_conflicts.reason IS 'Why it was not put back.';

CREATE INDEX recovery_conflicts_recovery ON schema_operator.recovery_conflicts (recovery);

CREATE VIEW schema_operator.available_archives AS
SELECT a.id, a.archived_at, a.expires_at, a.version, a.action, a.kind, a.table_schema, a.table_name,
       ARRAY(SELECT c ->> 'name' FROM jsonb_array_elements(a.columns) AS c) AS columns,
       ARRAY(SELECT c ->> 'name' FROM jsonb_array_elements(a.key_columns) AS c) AS key_columns,
       a.rows, a.bytes, a.archive_table, a.transaction, a.run
FROM schema_operator.archives AS a
WHERE EXISTS (
    SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = 'schema_operator' AND c.relname = a.archive_table)
ORDER BY a.id;

COMMENT ON VIEW schema_operator.available_archives IS
    'The archives whose tables are still there: what recover_data can put back.';

CREATE FUNCTION schema_operator.take_lock() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    lock_class CONSTANT int := x'736F7064'::int;
    holder text;
BEGIN
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'this must run in READ COMMITTED: in % it may not see what the last run committed',
            upper(current_setting('transaction_isolation'))
            USING ERRCODE = 'invalid_transaction_state', HINT = 'Call it in a transaction that is begun with plain BEGIN.';
    END IF;
    IF pg_try_advisory_xact_lock(lock_class, 1) AND pg_try_advisory_xact_lock(lock_class, 2) THEN
        RETURN;
    END IF;
    SELECT format('process %s%s%s', l.pid, coalesce(' (' || nullif(a.application_name, '') || ')', ''),
                  to_char(a.backend_start AT TIME ZONE 'UTC', '", connected since "YYYY-MM-DD"T"HH24:MI:SS"Z"'))
    INTO holder
    FROM pg_locks AS l
    LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND l.pid <> pg_backend_pid()
      AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
      AND l.classid::int8 = lock_class AND l.objid::int8 IN (1, 2) AND l.objsubid = 2
    ORDER BY a.backend_start NULLS LAST LIMIT 1;
    RAISE EXCEPTION 'a run is changing this database: %', coalesce(holder, 'it has just ended')
        USING ERRCODE = 'lock_not_available', HINT = 'Wait for its end, or end it, then call this again.';
END
$$;

COMMENT ON FUNCTION schema_operator.take_lock() IS
    'Keeps runs away until the transaction ends, by the locks that runs take; refuses at once where one is at work.';

CREATE FUNCTION schema_operator.person() RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT left(concat_ws(' ', session_user, 'via ' || coalesce(nullif(current_setting('application_name'), ''), 'SQL'),
                          'from ' || host(inet_client_addr())), 255)
$$;

COMMENT ON FUNCTION schema_operator.person() IS
    'Who is working in this session, for what is written down: the role that logged in, its program and its address.';

-- How a value of a column is kept: as it is, or as text where its type is not PostgreSQL's own, so that an archive never
-- keeps a type, or a collation, from being dropped.

CREATE FUNCTION schema_operator.is_kept_as_text(type oid) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT t.oid >= 16384 OR t.typnamespace <> 'pg_catalog'::regnamespace FROM pg_type AS t WHERE t.oid = $1
$$;

COMMENT ON FUNCTION schema_operator.is_kept_as_text(oid) IS 'Whether an archive keeps values of a type as text.';

CREATE FUNCTION schema_operator.is_comparable(type oid) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT t.typtype IN ('r', 'm') OR t.oid = 'varchar'::regtype OR EXISTS (
        SELECT FROM pg_opclass AS o
        WHERE o.opcdefault AND o.opcmethod = (SELECT m.oid FROM pg_am AS m WHERE m.amname = 'btree')
          AND o.opcintype IN (t.oid, CASE WHEN t.typlen = -1 THEN t.typelem END))
    FROM pg_type AS t WHERE t.oid = $1
$$;

COMMENT ON FUNCTION schema_operator.is_comparable(oid) IS
    'Whether two values of a type of PostgreSQL''s own can be compared; others are by their texts.';

CREATE FUNCTION schema_operator.constant_default(relation oid, number int2) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT pg_get_expr(d.adbin, d.adrelid)
    FROM pg_attrdef AS d
    JOIN pg_attribute AS a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
    WHERE d.adrelid = $1 AND d.adnum = $2 AND a.attgenerated = ''
      -- No backslash in a string, so that standard_conforming_strings does not matter.
      AND d.adbin::text !~ '[{](SQLVALUEFUNCTION|NEXTVALUEEXPR|COERCEVIAIO|PARAM|SUBLINK) '
      AND NOT EXISTS (
          SELECT FROM regexp_matches(d.adbin::text, ':(?:op)?funcid ([0-9]+)', 'g') AS f
          JOIN pg_proc AS p ON p.oid = f[1]::oid WHERE p.provolatile <> 'i')
$$;

COMMENT ON FUNCTION schema_operator.constant_default(oid, int2) IS
    'The default of a column where it is the same for every row.';

CREATE FUNCTION schema_operator.describe_columns(relation oid, numbers int2[]) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_object(
        'number', a.attnum, 'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
        'base', format_type(a.atttypid, NULL), 'text', schema_operator.is_kept_as_text(a.atttypid),
        'collation', (SELECT format('%I.%I', n.nspname, c.collname)
                      FROM pg_collation AS c JOIN pg_namespace AS n ON n.oid = c.collnamespace
                      WHERE c.oid = a.attcollation AND a.attcollation <> t.typcollation),
        'default', (SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef AS d
                    WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum),
        'constant', schema_operator.constant_default(a.attrelid, a.attnum) IS NOT NULL,
        'identity', a.attidentity, 'not_null', a.attnotnull,
        'comment', col_description(a.attrelid, a.attnum)) ORDER BY array_position($2, a.attnum)), '[]')
    FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
    WHERE a.attrelid = $1 AND a.attnum = ANY ($2)
$$;

COMMENT ON FUNCTION schema_operator.describe_columns(oid, int2[]) IS 'Columns as the catalog of archives keeps them.';

CREATE FUNCTION schema_operator.key_of(relation oid, without int2[]) RETURNS int2[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT k.numbers
    FROM pg_index AS i
    CROSS JOIN LATERAL (SELECT (i.indkey::int2[])[0:i.indnkeyatts - 1] AS numbers) AS k
    WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL
      AND i.indexprs IS NULL AND NOT k.numbers && $2
      AND NOT EXISTS (SELECT FROM pg_attribute AS a
                      WHERE a.attrelid = $1 AND a.attnum = ANY (k.numbers) AND NOT a.attnotnull)
    ORDER BY i.indisprimary DESC, i.indnkeyatts, i.indexrelid
    LIMIT 1
$$;

COMMENT ON FUNCTION schema_operator.key_of(oid, int2[]) IS
    'The columns by which rows are known again, without some that will be gone: the primary key, else a unique index that is '
    'complete and not null; absent where there is none.';

CREATE FUNCTION schema_operator.owned_by(role text, cascades jsonb) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_object('class', s.classid::int8, 'oid', s.objid::int8, 'cascade', $2)), '[]')
    FROM pg_shdepend AS s
    WHERE s.deptype = 'o' AND s.refclassid = 'pg_authid'::regclass
      AND s.refobjid = (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = $1)
      AND s.dbid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
$$;

COMMENT ON FUNCTION schema_operator.owned_by(text, jsonb) IS
    'What a role owns in this database, in the form of resolve_destroyed: what DROP OWNED drops.';

CREATE FUNCTION schema_operator.resolve_destroyed(destroyed jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE AS $$
DECLARE
    one pg_catalog.jsonb;
    kind pg_catalog.text;
    name pg_catalog.text;
    found_at pg_catalog.oid;
    class pg_catalog.oid;
    part pg_catalog.int4;
    roots pg_catalog.jsonb := '[]';
    emptied pg_catalog.jsonb := '[]';
BEGIN
    -- Names are resolved under the caller's search_path, so everything of PostgreSQL's, operators too, is written with its
    -- schema: nobody's own can stand in for it.
    FOR one IN SELECT * FROM pg_catalog.jsonb_array_elements(destroyed) LOOP
        kind := one OPERATOR(pg_catalog.->>) 'kind';
        name := one OPERATOR(pg_catalog.->>) 'name';
        IF kind OPERATOR(pg_catalog.=) ANY ('{column,table,rows}'::pg_catalog.text[]) THEN
            found_at := pg_catalog.to_regclass(name);
            CONTINUE WHEN found_at IS NULL;
            IF kind OPERATOR(pg_catalog.=) 'rows'::pg_catalog.text THEN
                emptied := emptied OPERATOR(pg_catalog.||) pg_catalog.jsonb_build_array(
                    one OPERATOR(pg_catalog.||) pg_catalog.jsonb_build_object('oid', found_at::pg_catalog.int8));
                CONTINUE;
            END IF;
            roots := roots OPERATOR(pg_catalog.||) pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_object(
                'class', 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid::pg_catalog.int8,
                'oid', found_at::pg_catalog.int8,
                'column', CASE WHEN kind OPERATOR(pg_catalog.=) 'column'::pg_catalog.text
                               THEN one OPERATOR(pg_catalog.->>) 'column' END,
                'cascade', one OPERATOR(pg_catalog.->) 'cascade', 'only', one OPERATOR(pg_catalog.->) 'only'));
        ELSIF kind OPERATOR(pg_catalog.=) 'object'::pg_catalog.text THEN
            BEGIN
                SELECT a.classid, a.objid, a.objsubid INTO class, found_at, part
                FROM pg_catalog.pg_get_object_address(
                    one OPERATOR(pg_catalog.->>) 'class',
                    ARRAY(SELECT pg_catalog.jsonb_array_elements_text(one OPERATOR(pg_catalog.->) 'name')), '{}') AS a;
            EXCEPTION
                WHEN undefined_object OR undefined_table OR invalid_schema_name OR undefined_column OR wrong_object_type
                THEN CONTINUE;  -- what is not there is not destroyed, and the statement will say so itself
            END;
            roots := roots OPERATOR(pg_catalog.||) pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_object(
                'class', class::pg_catalog.int8, 'oid', found_at::pg_catalog.int8,
                'cascade', one OPERATOR(pg_catalog.->) 'cascade'));
        ELSIF kind OPERATOR(pg_catalog.=) 'owned'::pg_catalog.text THEN
            roots := roots OPERATOR(pg_catalog.||) schema_operator.owned_by(name, one OPERATOR(pg_catalog.->) 'cascade');
        END IF;
    END LOOP;
    RETURN schema_operator.reached(roots, emptied);
END
$$;

COMMENT ON FUNCTION schema_operator.resolve_destroyed(jsonb) IS
    'Finds, under the caller''s search_path, the tables whose columns or rows a statement destroys, also by CASCADE, '
    'inheritance and foreign keys. Takes what the runner reads from a statement; gives what archive takes.';

CREATE FUNCTION schema_operator.reached(roots jsonb, emptied jsonb) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH RECURSIVE
    wanted AS (
        SELECT (r ->> 'class')::oid AS classid, (r ->> 'oid')::oid AS objid, r ->> 'column' AS name,
               coalesce((r ->> 'cascade')::bool, false) AS cascades, coalesce((r ->> 'only')::bool, false) AS stays
        FROM jsonb_array_elements(roots) AS r
    ),
    heirs (objid, name, cascades, stays) AS (  -- a column that is inherited, and nothing else, goes with its parent's
        SELECT w.objid, w.name, w.cascades, w.stays FROM wanted AS w WHERE w.name IS NOT NULL
        UNION
        SELECT i.inhrelid, h.name, h.cascades, h.stays
        FROM heirs AS h
        JOIN pg_inherits AS i ON i.inhparent = h.objid
        JOIN pg_attribute AS a ON a.attrelid = i.inhrelid AND a.attname = h.name
        WHERE NOT h.stays AND (NOT a.attislocal AND a.attinhcount <= 1)
    ),
    typed AS (  -- an attribute of a composite type is a column of the tables of that type
        SELECT h.objid, h.name, h.cascades FROM heirs AS h
        UNION
        SELECT t.oid, h.name, h.cascades FROM heirs AS h
        JOIN pg_class AS c ON c.oid = h.objid AND c.relkind = 'c'
        JOIN pg_class AS t ON t.reloftype = c.reltype
    ),
    gone (classid, objid, objsubid, cascades) AS (
        SELECT w.classid, w.objid, 0, w.cascades FROM wanted AS w WHERE w.name IS NULL
        UNION
        SELECT 'pg_class'::regclass, t.objid, a.attnum::int4, t.cascades
        FROM typed AS t JOIN pg_attribute AS a ON a.attrelid = t.objid AND a.attname = t.name AND NOT a.attisdropped
        UNION
        SELECT n.classid, n.objid, n.objsubid, g.cascades
        FROM gone AS g
        CROSS JOIN LATERAL (
            SELECT d.classid, d.objid, d.objsubid FROM pg_depend AS d
            WHERE d.refclassid = g.classid AND d.refobjid = g.objid AND (g.objsubid = 0 OR d.refobjsubid = g.objsubid)
              AND (g.cascades OR d.deptype <> 'n')
            UNION ALL  -- what is part of something else takes that along
            SELECT d.refclassid, d.refobjid, d.refobjsubid FROM pg_depend AS d
            WHERE g.cascades AND d.classid = g.classid AND d.objid = g.objid AND d.objsubid = g.objsubid AND d.deptype = 'i'
        ) AS n
    ),
    wiped (objid, cascades, deletes, filled) AS (
        SELECT (e ->> 'oid')::oid, coalesce((e ->> 'cascade')::bool, false), coalesce((e ->> 'deletes')::bool, false),
               NULL::int2[]
        FROM jsonb_array_elements(emptied) AS e
        UNION
        SELECT i.inhrelid, coalesce((e ->> 'cascade')::bool, false), coalesce((e ->> 'deletes')::bool, false), NULL
        FROM jsonb_array_elements(emptied) AS e
        CROSS JOIN LATERAL (
            WITH RECURSIVE tree (inhrelid) AS (
                SELECT h.inhrelid FROM pg_inherits AS h WHERE h.inhparent = (e ->> 'oid')::oid
                UNION
                SELECT h.inhrelid FROM tree JOIN pg_inherits AS h ON h.inhparent = tree.inhrelid
            ) SELECT tree.inhrelid FROM tree) AS i
        WHERE NOT coalesce((e ->> 'only')::bool, false)
        UNION
        SELECT f.conrelid, w.cascades, w.deletes, CASE WHEN w.deletes THEN f.conkey END
        FROM wiped AS w
        JOIN pg_constraint AS f ON f.confrelid = w.objid AND f.contype = 'f'
        WHERE w.cascades OR (w.deletes AND f.confdeltype = 'c')
    ),
    tables AS (
        SELECT c.oid, c.relkind, c.relispartition, format('%I.%I', n.nspname, c.relname) AS name
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
          AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'schema_operator') AND n.nspname !~ '^pg_toast'
    ),
    found AS (
        SELECT 'table' AS kind, t.oid, t.relkind, t.name, NULL::int2[] AS numbers, NULL::int2[] AS filled
        FROM tables AS t WHERE t.oid IN (SELECT g.objid FROM gone AS g WHERE g.classid = 'pg_class'::regclass AND g.objsubid = 0)
        UNION ALL
        SELECT 'column', t.oid, t.relkind, t.name, array_agg(DISTINCT a.attnum), NULL
        FROM gone AS g
        JOIN tables AS t ON t.oid = g.objid AND g.classid = 'pg_class'::regclass
        JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = g.objsubid AND a.attnum > 0
                              AND NOT a.attisdropped AND a.attgenerated = ''
        WHERE NOT EXISTS (  -- a partition's column is archived with that of the table it is part of
            SELECT FROM pg_partition_ancestors(t.oid) AS p (oid)
            JOIN pg_attribute AS b ON b.attrelid = p.oid AND b.attname = a.attname
            JOIN gone AS o ON o.classid = 'pg_class'::regclass AND o.objid = p.oid AND o.objsubid = b.attnum
            WHERE t.relispartition AND p.oid <> t.oid)
        GROUP BY t.oid, t.relkind, t.name
        UNION ALL
        SELECT 'rows', t.oid, t.relkind, t.name, NULL,
               CASE WHEN count(*) = 1 AND count(w.filled) = 1 THEN min(w.filled) END
        FROM (SELECT DISTINCT w.objid, w.filled FROM wiped AS w) AS w JOIN tables AS t ON t.oid = w.objid
        GROUP BY t.oid, t.relkind, t.name
    )
    SELECT coalesce(jsonb_agg(jsonb_build_object(
        'kind', f.kind, 'table', f.oid::int8, 'name', f.name, 'only', f.relkind <> 'p',
        'numbers', f.numbers, 'filled', f.filled,
        'columns', (SELECT jsonb_agg(a.attname ORDER BY a.attnum) FROM pg_attribute AS a
                    WHERE a.attrelid = f.oid AND a.attnum = ANY (f.numbers))) ORDER BY i.depth DESC, f.oid DESC), '[]')
    FROM found AS f
    CROSS JOIN LATERAL (  -- what inherits comes first: what is put back is made in the opposite order
        WITH RECURSIVE above (oid, depth) AS (
            SELECT f.oid, 0 UNION
            SELECT h.inhparent, a.depth + 1 FROM above AS a JOIN pg_inherits AS h ON h.inhrelid = a.oid
        ) SELECT max(above.depth) AS depth FROM above) AS i
    WHERE NOT EXISTS (  -- what is archived with the table it is part of
        SELECT FROM pg_partition_ancestors(f.oid) AS p (oid) JOIN found AS o ON o.oid = p.oid AND o.kind = f.kind
        WHERE p.oid <> f.oid AND f.kind <> 'column')
      AND NOT EXISTS (SELECT FROM found AS o WHERE o.oid = f.oid AND o.kind = 'table' AND f.kind <> 'table')
$$;

COMMENT ON FUNCTION schema_operator.reached(jsonb, jsonb) IS
    'Finds the tables and columns that go with what is dropped (roots) or emptied: the second half of resolve_destroyed.';

CREATE FUNCTION schema_operator.judge_archive(item jsonb, policy jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    relation oid := (item ->> 'table')::oid;
    numbers int2[] := ARRAY(SELECT n::int2 FROM jsonb_array_elements_text(nullif(item -> 'numbers', 'null')) AS n);
    key int2[] := schema_operator.key_of(relation, numbers);
    most int8 := (policy ->> 'max_bytes')::int8;
    expected int8;
    judged jsonb := jsonb_build_object('key', key, 'what', schema_operator.name_archive(item), 'problem', NULL, 'sentence', NULL);
BEGIN
    IF item ->> 'kind' = 'column' AND key IS NULL THEN
        RETURN judged || jsonb_build_object('problem', 'NoKey', 'sentence', format(
            '%s cannot be archived: the table has no primary key, and no unique index over columns that are not null and '
            'stay, so nobody could tell to which rows the values belong', schema_operator.name_archive(item)));
    END IF;
    IF item ->> 'kind' = 'column' THEN
        -- A row of a table has 28 bytes beside its values (PostgreSQL documentation, "Database Page Layout").
        SELECT (sum(c.reltuples) * (28 + (SELECT sum(s.avg_width) FROM pg_stats AS s
                                          JOIN pg_class AS r ON r.oid = relation
                                          JOIN pg_namespace AS n ON n.oid = r.relnamespace
                                          JOIN pg_attribute AS a ON a.attrelid = r.oid AND a.attname = s.attname
                                          WHERE s.schemaname = n.nspname AND s.tablename = r.relname
                                            AND a.attnum = ANY (key || numbers))))::int8
        INTO expected
        FROM pg_class AS c
        WHERE c.reltuples > 0 AND c.oid IN (SELECT relation UNION SELECT p.relid FROM pg_partition_tree(relation) AS p WHERE p.isleaf);
    ELSE
        SELECT sum(pg_table_size(t.oid))::int8 INTO expected
        FROM (SELECT relation AS oid UNION SELECT p.relid FROM pg_partition_tree(relation) AS p) AS t;
    END IF;
    RETURN CASE WHEN expected > most THEN judged || jsonb_build_object(
        'problem', 'ArchiveTooLarge', 'sentence', schema_operator.say_too_large(item, expected, most)) ELSE judged END;
END
$$;

COMMENT ON FUNCTION schema_operator.judge_archive(jsonb, jsonb) IS
    'Says by which key something that resolve_destroyed has found can be archived, and what is against it.';

CREATE FUNCTION schema_operator.name_archive(item jsonb) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE item ->> 'kind'
        WHEN 'table' THEN format('table %s', item ->> 'name')
        WHEN 'rows' THEN format('the rows of %s', item ->> 'name')
        ELSE (SELECT CASE WHEN count(*) > 1 THEN 'columns ' ELSE 'column ' END || string_agg(quote_ident(c), ', ')
              FROM jsonb_array_elements_text(item -> 'columns') AS c) || format(' of %s', item ->> 'name') END
$$;

COMMENT ON FUNCTION schema_operator.name_archive(jsonb) IS 'Names what is archived, for messages.';

CREATE FUNCTION schema_operator.say_too_large(item jsonb, size int8, most int8) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('the archive of %s would have %s, and may have %s', schema_operator.name_archive(item),
                  pg_size_pretty(size), pg_size_pretty(most))
$$;

COMMENT ON FUNCTION schema_operator.say_too_large(jsonb, int8, int8) IS 'Says how far an archive is above the limit.';

CREATE FUNCTION schema_operator.foresee_archives(resolved jsonb, policy jsonb) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(jsonb_agg(item || schema_operator.judge_archive(item, policy)), '[]')
    FROM jsonb_array_elements(resolved) AS item
$$;

COMMENT ON FUNCTION schema_operator.foresee_archives(jsonb, jsonb) IS
    'Says what is against archives before anything is run; changes nothing.';

-- Definitions hold strings: they are written here and read in put_back by one rule, whatever the sessions have set.

CREATE FUNCTION schema_operator.archive(resolved jsonb, version varchar, action text, run text, policy jsonb)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET row_security = off SET datestyle = 'ISO, YMD' SET intervalstyle = 'postgres'
SET extra_float_digits = 1 SET bytea_output = 'hex' SET timezone = 'UTC' SET standard_conforming_strings = on AS $$
DECLARE
    item jsonb;
    judged jsonb;
    done jsonb := '[]';
    refuses boolean;
    number int8;
    copied int8;
    size int8;
    most int8 := (policy ->> 'max_bytes')::int8;
    numbers int2[];
    key int2[];
    shape jsonb;
BEGIN
    IF resolved = '[]' THEN
        RETURN done;
    END IF;
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'nothing can be archived in a transaction that is %: rows that others have written since it began '
            'would be destroyed and not be in the archive', upper(current_setting('transaction_isolation'))
            USING ERRCODE = 'invalid_transaction_state',
                  HINT = 'Leave the isolation level out of the script''s BEGIN, or do without archives.';
    END IF;
    -- Readers go on while rows are copied; writers wait, so that no row comes between the copy and its end.
    FOR item IN SELECT * FROM jsonb_array_elements(resolved) LOOP
        EXECUTE format('LOCK TABLE %s%s IN SHARE ROW EXCLUSIVE MODE',
                       CASE WHEN (item ->> 'only')::bool THEN 'ONLY ' ELSE '' END, item ->> 'name');
    END LOOP;
    FOR item IN SELECT * FROM jsonb_array_elements(resolved) LOOP
        judged := schema_operator.judge_archive(item, policy);
        IF judged ->> 'problem' IS NOT NULL THEN
            refuses := coalesce(policy ->> CASE judged ->> 'problem' WHEN 'NoKey' THEN 'no_key' ELSE 'above' END, 'Refuse') <> 'Skip';
            IF refuses THEN
                RAISE EXCEPTION '%', judged ->> 'sentence'
                    USING ERRCODE = CASE judged ->> 'problem' WHEN 'NoKey' THEN 'SO001' ELSE 'SO002' END;
            END IF;
            done := done || jsonb_build_array(schema_operator.report_archive(item, NULL, 0, 0, judged ->> 'sentence'));
            CONTINUE;
        END IF;
        key := ARRAY(SELECT n::int2 FROM jsonb_array_elements_text(nullif(judged -> 'key', 'null')) AS n);
        numbers := ARRAY(
            SELECT a.attnum FROM pg_attribute AS a
            WHERE a.attrelid = (item ->> 'table')::oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
              AND (item ->> 'kind' <> 'column' OR a.attnum = ANY (
                      ARRAY(SELECT n::int2 FROM jsonb_array_elements_text(nullif(item -> 'numbers', 'null')) AS n)))
            ORDER BY a.attnum);
        SELECT coalesce(max(a.id), 0) + 1 INTO number FROM schema_operator.archives AS a;
        EXECUTE schema_operator.copying(number, item, CASE WHEN item ->> 'kind' = 'column' THEN key || numbers ELSE numbers END);
        GET DIAGNOSTICS copied = ROW_COUNT;
        size := pg_table_size(format('schema_operator.archive_%s', number)::regclass);
        IF size > most THEN
            IF coalesce(policy ->> 'above', 'Refuse') <> 'Skip' THEN
                RAISE EXCEPTION '%', schema_operator.say_too_large(item, size, most) USING ERRCODE = 'SO002';
            END IF;
            EXECUTE format('DROP TABLE schema_operator.archive_%s', number);
            done := done || jsonb_build_array(schema_operator.report_archive(
                item, NULL, 0, 0, schema_operator.say_too_large(item, size, most)));
            CONTINUE;
        END IF;
        shape := CASE item ->> 'kind'
            WHEN 'table' THEN schema_operator.definition_of((item ->> 'table')::oid)
            WHEN 'column' THEN schema_operator.definition_with((item ->> 'table')::oid, numbers) END;
        INSERT INTO schema_operator.archives
               (id, expires_at, after_position, version, action, run, kind, table_schema, table_name, table_oid, columns,
                key_columns, archive_table, archive_oid, rows, bytes, definition)
        SELECT number, clock_timestamp() + make_interval(secs => (policy ->> 'keep_seconds')::float8),
               (SELECT coalesce(max(s.position), 0) FROM schema_operator.version_scripts AS s),
               archive.version, archive.action, archive.run, item ->> 'kind', n.nspname, c.relname, c.oid,
               schema_operator.describe_columns(c.oid, numbers), schema_operator.describe_columns(c.oid, key),
               format('archive_%s', number), format('schema_operator.archive_%s', number)::regclass, copied, size, shape
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = (item ->> 'table')::oid;
        done := done || jsonb_build_array(schema_operator.report_archive(item, number, copied, size, NULL));
    END LOOP;
    RETURN done;
END
$$;

COMMENT ON FUNCTION schema_operator.archive(jsonb, varchar, text, text, jsonb) IS
    'Copies what a statement is about to destroy, in its transaction. Takes what resolve_destroyed gives, the version, the '
    'action, the run and the policy (max_bytes, above, keep_seconds, no_key); gives what was archived or skipped.';

CREATE FUNCTION schema_operator.copying(number int8, item jsonb, numbers int2[]) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('CREATE TABLE schema_operator.archive_%s AS SELECT %s FROM %s%s%s', number,
        (SELECT coalesce(string_agg(CASE
             WHEN schema_operator.is_kept_as_text(a.atttypid) THEN format('t.%I::text COLLATE "default" AS %1$I', a.attname)
             WHEN a.attcollation >= 16384 THEN format('t.%I COLLATE "default" AS %1$I', a.attname)
             ELSE format('t.%I', a.attname) END, ', ' ORDER BY array_position(numbers, a.attnum)), '')
         FROM pg_attribute AS a WHERE a.attrelid = (item ->> 'table')::oid AND a.attnum = ANY (numbers)),
        CASE WHEN (item ->> 'only')::bool THEN 'ONLY ' ELSE '' END, item ->> 'name' || ' AS t',
        (SELECT ' WHERE ' || string_agg(format('t.%I IS NOT NULL', a.attname), ' AND ')
         FROM jsonb_array_elements_text(nullif(item -> 'filled', 'null')) AS f
         JOIN pg_attribute AS a ON a.attrelid = (item ->> 'table')::oid AND a.attnum = f::int2))
$$;

COMMENT ON FUNCTION schema_operator.copying(int8, jsonb, int2[]) IS 'Writes the statement that makes an archive table.';

CREATE FUNCTION schema_operator.report_archive(item jsonb, archive int8, rows int8, bytes int8, skipped text) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_build_object('archive', $2, 'table', item -> 'name', 'kind', item -> 'kind', 'columns', item -> 'columns',
                              'what', schema_operator.name_archive(item), 'rows', $3, 'bytes', $4, 'skipped', $5)
$$;

COMMENT ON FUNCTION schema_operator.report_archive(jsonb, int8, int8, int8, text) IS 'What archive says about one thing.';

-- What a table was, as statements that make it again: those before its rows are back, and those after.

CREATE FUNCTION schema_operator.name_of(relation oid) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('%I.%I', n.nspname, c.relname)
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = $1
$$;

COMMENT ON FUNCTION schema_operator.name_of(oid) IS 'The name of a relation with its schema; absent where it is gone.';

CREATE FUNCTION schema_operator.sequence_options(sequence oid) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('START WITH %s INCREMENT BY %s MINVALUE %s MAXVALUE %s CACHE %s%s', s.seqstart, s.seqincrement,
                  s.seqmin, s.seqmax, s.seqcache, CASE WHEN s.seqcycle THEN ' CYCLE' ELSE '' END)
    FROM pg_sequence AS s WHERE s.seqrelid = $1
$$;

COMMENT ON FUNCTION schema_operator.sequence_options(oid) IS 'A sequence as CREATE SEQUENCE says it.';

CREATE FUNCTION schema_operator.column_of(relation oid, number int2) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT concat(quote_ident(a.attname), ' ', format_type(a.atttypid, a.atttypmod),
        (SELECT format(' COLLATE %I.%I', n.nspname, c.collname)
         FROM pg_collation AS c JOIN pg_namespace AS n ON n.oid = c.collnamespace
         WHERE c.oid = a.attcollation AND a.attcollation <> t.typcollation),
        CASE a.attgenerated
            WHEN 's' THEN format(' GENERATED ALWAYS AS (%s) STORED', e.expression)
            WHEN 'v' THEN format(' GENERATED ALWAYS AS (%s) VIRTUAL', e.expression)
            ELSE ' DEFAULT ' || e.expression END,
        (SELECT format(' GENERATED %s AS IDENTITY (SEQUENCE NAME %s %s)',
                       CASE a.attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END,
                       schema_operator.name_of(d.objid), schema_operator.sequence_options(d.objid))
         FROM pg_depend AS d
         WHERE a.attidentity <> '' AND d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
           AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum AND d.deptype = 'i'),
        CASE WHEN a.attnotnull THEN coalesce((SELECT format(' CONSTRAINT %I', c.conname) FROM pg_constraint AS c
             WHERE c.conrelid = a.attrelid AND c.contype = 'n' AND c.conkey = ARRAY[a.attnum]), '') || ' NOT NULL' END)
    FROM pg_attribute AS a
    JOIN pg_type AS t ON t.oid = a.atttypid
    LEFT JOIN LATERAL (SELECT pg_get_expr(d.adbin, d.adrelid) AS expression FROM pg_attrdef AS d
                       WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum) AS e ON true
    WHERE a.attrelid = $1 AND a.attnum = $2
$$;

COMMENT ON FUNCTION schema_operator.column_of(oid, int2) IS 'A column as CREATE TABLE says it.';

CREATE FUNCTION schema_operator.creation_of(relation oid) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT concat('CREATE ', CASE c.relpersistence WHEN 'u' THEN 'UNLOGGED ' END, 'TABLE ', schema_operator.name_of(c.oid),
        CASE WHEN c.relispartition
            THEN format(' PARTITION OF %s %s', schema_operator.name_of(
                     (SELECT i.inhparent FROM pg_inherits AS i WHERE i.inhrelid = c.oid)), pg_get_expr(c.relpartbound, c.oid))
            ELSE format(' (%s)%s',
                concat_ws(', ',
                    (SELECT string_agg(schema_operator.column_of(c.oid, a.attnum), ', ' ORDER BY a.attnum)
                     FROM pg_attribute AS a
                     WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attislocal),
                    (SELECT string_agg(format('CONSTRAINT %I NOT NULL %I', o.conname, a.attname), ', ')
                     FROM pg_constraint AS o
                     JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = o.conkey[1] AND NOT a.attislocal
                     WHERE o.conrelid = c.oid AND o.contype = 'n' AND o.conislocal)),
                (SELECT format(' INHERITS (%s)', string_agg(schema_operator.name_of(i.inhparent), ', ' ORDER BY i.inhseqno))
                 FROM pg_inherits AS i WHERE i.inhrelid = c.oid HAVING count(*) > 0)) END,
        CASE WHEN c.relkind = 'p' THEN format(' PARTITION BY %s', pg_get_partkeydef(c.oid)) END,
        (SELECT format(' USING %I', m.amname) FROM pg_am AS m WHERE m.oid = c.relam AND c.relkind = 'r'),
        (SELECT format(' WITH (%s)', string_agg(format('%s=%L', o.option_name, o.option_value), ', '))
         FROM pg_options_to_table(c.reloptions) AS o HAVING count(*) > 0),
        (SELECT format(' TABLESPACE %I', s.spcname) FROM pg_tablespace AS s WHERE s.oid = c.reltablespace))
    FROM pg_class AS c WHERE c.oid = $1
$$;

COMMENT ON FUNCTION schema_operator.creation_of(oid) IS 'The CREATE TABLE of a table, without its constraints.';

CREATE FUNCTION schema_operator.granting(name text, column_name name, rights aclitem[], owner oid) RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('GRANT %s%s ON TABLE %s TO %s%s', r.privilege_type, CASE WHEN $2 IS NULL THEN '' ELSE format(' (%I)', $2) END, $1,
                  CASE r.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r.grantee)) END,
                  CASE WHEN r.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM aclexplode($3) AS r WHERE r.grantee <> $4
$$;

COMMENT ON FUNCTION schema_operator.granting(text, name, aclitem[], oid) IS 'The GRANTs that give rights again.';

CREATE FUNCTION schema_operator.index_of(index oid) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    -- Of a partitioned table, PostgreSQL shows the index of the table without those of its partitions.
    SELECT regexp_replace(pg_get_indexdef($1), ' ON ONLY ', ' ON ')
$$;

COMMENT ON FUNCTION schema_operator.index_of(oid) IS 'The CREATE INDEX of an index, with those of partitions.';

CREATE FUNCTION schema_operator.finish_of(relation oid) RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH it AS (SELECT c.*, schema_operator.name_of(c.oid) AS name FROM pg_class AS c WHERE c.oid = $1),
    -- Columns of a parent that are other here.
    others AS (SELECT a.* FROM pg_attribute AS a
               WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND NOT a.attislocal)
    SELECT format('ALTER TABLE %s ALTER COLUMN %I SET NOT NULL', it.name, a.attname)
    FROM it CROSS JOIN others AS a
    WHERE a.attnotnull AND NOT EXISTS (SELECT FROM pg_constraint AS o WHERE o.conrelid = $1 AND o.contype = 'n')
    UNION ALL
    SELECT format('ALTER TABLE %s ALTER COLUMN %I SET DEFAULT %s', it.name, a.attname, pg_get_expr(d.adbin, d.adrelid))
    FROM it CROSS JOIN others AS a JOIN pg_attrdef AS d ON d.adrelid = $1 AND d.adnum = a.attnum WHERE a.attgenerated = ''
    UNION ALL
    (SELECT format('ALTER TABLE %s ADD CONSTRAINT %I %s', it.name, o.conname, pg_get_constraintdef(o.oid))
     FROM it JOIN pg_constraint AS o ON o.conrelid = it.oid
     WHERE o.contype IN ('p', 'u', 'x', 'c') AND o.conislocal AND o.coninhcount = 0
     ORDER BY array_position('{p,u,x,c}', o.contype::text), o.conname)
    UNION ALL
    SELECT schema_operator.index_of(i.indexrelid) FROM it JOIN pg_index AS i ON i.indrelid = it.oid AND i.indisvalid
    WHERE NOT EXISTS (SELECT FROM pg_constraint AS o WHERE o.conindid = i.indexrelid AND o.contype IN ('p', 'u', 'x'))
      AND NOT EXISTS (SELECT FROM pg_inherits AS h WHERE h.inhrelid = i.indexrelid)
    UNION ALL
    SELECT format('ALTER TABLE %s REPLICA IDENTITY %s', it.name, CASE it.relreplident WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING'
               ELSE format('USING INDEX %I', (SELECT r.relname FROM pg_index AS i JOIN pg_class AS r ON r.oid = i.indexrelid
                                              WHERE i.indrelid = it.oid AND i.indisreplident)) END)
    FROM it WHERE it.relreplident <> 'd'
    UNION ALL
    SELECT pg_get_ruledef(r.oid) FROM it JOIN pg_rewrite AS r ON r.ev_class = it.oid
    UNION ALL
    SELECT pg_get_triggerdef(g.oid) FROM it JOIN pg_trigger AS g ON g.tgrelid = it.oid
    WHERE NOT g.tgisinternal AND coalesce((to_jsonb(g) ->> 'tgparentid')::oid, 0) = 0
    UNION ALL
    SELECT format('ALTER TABLE %s %s TRIGGER %I', it.name, CASE g.tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA'
                                                          ELSE 'ENABLE ALWAYS' END, g.tgname)
    FROM it JOIN pg_trigger AS g ON g.tgrelid = it.oid AND NOT g.tgisinternal AND g.tgenabled <> 'O'
    UNION ALL
    SELECT format('CREATE POLICY %I ON %s AS %s FOR %s TO %s', p.polname, it.name,
                  CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
                  CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE'
                                ELSE 'ALL' END,
                  (SELECT string_agg(CASE u WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(u)) END, ', ')
                   FROM unnest(p.polroles) AS u))
           || coalesce(' USING (' || pg_get_expr(p.polqual, it.oid) || ')', '')
           || coalesce(' WITH CHECK (' || pg_get_expr(p.polwithcheck, it.oid) || ')', '')
    FROM it JOIN pg_policy AS p ON p.polrelid = it.oid
    UNION ALL
    SELECT format('ALTER TABLE %s %s ROW LEVEL SECURITY', it.name, w.words)
    FROM it CROSS JOIN LATERAL (VALUES ('ENABLE', it.relrowsecurity), ('FORCE', it.relforcerowsecurity)) AS w (words, is_set)
    WHERE w.is_set
    UNION ALL
    SELECT format('COMMENT ON TABLE %s IS %L', it.name, obj_description(it.oid, 'pg_class'))
    FROM it WHERE obj_description(it.oid, 'pg_class') IS NOT NULL
    UNION ALL
    SELECT format('COMMENT ON COLUMN %s.%I IS %L', it.name, a.attname, col_description(it.oid, a.attnum))
    FROM it JOIN pg_attribute AS a ON a.attrelid = it.oid AND NOT a.attisdropped
    WHERE col_description(it.oid, a.attnum) IS NOT NULL
    UNION ALL
    SELECT format('COMMENT ON CONSTRAINT %I ON %s IS %L', o.conname, it.name, obj_description(o.oid, 'pg_constraint'))
    FROM it JOIN pg_constraint AS o ON o.conrelid = it.oid WHERE obj_description(o.oid, 'pg_constraint') IS NOT NULL
    UNION ALL
    SELECT format('COMMENT ON INDEX %s IS %L', schema_operator.name_of(i.indexrelid), obj_description(i.indexrelid, 'pg_class'))
    FROM it JOIN pg_index AS i ON i.indrelid = it.oid WHERE obj_description(i.indexrelid, 'pg_class') IS NOT NULL
    UNION ALL
    SELECT schema_operator.granting(it.name, NULL, it.relacl, it.relowner) FROM it
    UNION ALL
    SELECT schema_operator.granting(it.name, a.attname, a.attacl, it.relowner)
    FROM it JOIN pg_attribute AS a ON a.attrelid = it.oid AND a.attacl IS NOT NULL AND NOT a.attisdropped
    UNION ALL
    SELECT format('ALTER TABLE %s OWNER TO %I', it.name, pg_get_userbyid(it.relowner)) FROM it
$$;

COMMENT ON FUNCTION schema_operator.finish_of(oid) IS
    'The statements that give a table made again its constraints but foreign keys, indexes, triggers, policies, comments, '
    'grants and owner.';

CREATE FUNCTION schema_operator.keeping_sequences(relation oid, numbers int2[]) RETURNS TABLE (made text, owned text, moved text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    one record;
    last int8;
    used boolean;
BEGIN
    FOR one IN
        SELECT d.objid, d.deptype, schema_operator.name_of(d.objid) AS name, a.attname, s.seqtypid
        FROM pg_depend AS d
        JOIN pg_sequence AS s ON s.seqrelid = d.objid
        JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = relation
          AND d.deptype IN ('a', 'i') AND (numbers IS NULL OR d.refobjsubid = ANY (numbers))
        ORDER BY d.objid
    LOOP
        EXECUTE format('SELECT s.last_value, s.is_called FROM %s AS s', one.name) INTO last, used;
        made := CASE one.deptype WHEN 'a' THEN format('CREATE SEQUENCE IF NOT EXISTS %s AS %s %s', one.name,
                    format_type(one.seqtypid, NULL), schema_operator.sequence_options(one.objid)) END;
        owned := CASE one.deptype WHEN 'a' THEN format('ALTER SEQUENCE %s OWNED BY %s.%I', one.name,
                    schema_operator.name_of(relation), one.attname) END;
        moved := format('SELECT setval(%L, %s, %L)', one.name, last, used);
        RETURN NEXT;
    END LOOP;
END
$$;

COMMENT ON FUNCTION schema_operator.keeping_sequences(oid, int2[]) IS
    'The statements that make the sequences of columns again (not those of identities), tie them to their columns, and '
    'move them to where they were.';

CREATE FUNCTION schema_operator.definition_of(relation oid) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH parts AS (  -- a table with the partitions that go with it, which come after it
        SELECT $1 AS oid, 0 AS level
        UNION
        SELECT p.relid, p.level FROM pg_partition_tree($1) AS p JOIN pg_class AS c ON c.oid = p.relid AND c.relkind IN ('r', 'p')
        WHERE p.relid <> $1
    ),
    sequences AS (SELECT s.* FROM parts CROSS JOIN LATERAL schema_operator.keeping_sequences(parts.oid, NULL) AS s)
    SELECT jsonb_build_object(
        'create', (SELECT coalesce(jsonb_agg(s.made), '[]') FROM sequences AS s WHERE s.made IS NOT NULL)
               || (SELECT jsonb_agg(schema_operator.creation_of(parts.oid) ORDER BY parts.level, parts.oid) FROM parts),
        'finish', (SELECT coalesce(jsonb_agg(s.owned), '[]') FROM sequences AS s WHERE s.owned IS NOT NULL)
               || (SELECT coalesce(jsonb_agg(s.moved), '[]') FROM sequences AS s)
               || (SELECT coalesce(jsonb_agg(f.statement ORDER BY p.level, p.oid, f.place), '[]')
                   FROM parts AS p
                   CROSS JOIN LATERAL schema_operator.finish_of(p.oid) WITH ORDINALITY AS f (statement, place)),
        'foreign_keys', (
            SELECT coalesce(jsonb_agg(format('ALTER TABLE %s ADD CONSTRAINT %I %s', schema_operator.name_of(o.conrelid),
                                             o.conname, pg_get_constraintdef(o.oid)) ORDER BY o.oid), '[]')
            FROM pg_constraint AS o
            WHERE o.contype = 'f' AND o.conparentid = 0
              AND (o.conrelid IN (SELECT parts.oid FROM parts) OR o.confrelid IN (SELECT parts.oid FROM parts))))
    WHERE NOT EXISTS (  -- a table of an extension is the extension's to make
        SELECT FROM pg_depend AS d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = $1 AND d.deptype = 'e')
$$;

COMMENT ON FUNCTION schema_operator.definition_of(oid) IS 'All that makes a table again; absent for one of an extension.';

CREATE FUNCTION schema_operator.definition_with(relation oid, numbers int2[]) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_build_object(
        'create', (SELECT coalesce(jsonb_agg(v.statement), '[]')
                   FROM schema_operator.keeping_sequences($1, $2) AS s
                   CROSS JOIN LATERAL (VALUES (s.made), (s.moved)) AS v (statement) WHERE s.made IS NOT NULL),
        'finish', (SELECT coalesce(jsonb_agg(s.owned), '[]')
                   FROM schema_operator.keeping_sequences($1, $2) AS s WHERE s.owned IS NOT NULL)
               || (SELECT coalesce(jsonb_agg(format('ALTER TABLE %s ADD CONSTRAINT %I %s', schema_operator.name_of($1),
                                                    o.conname, pg_get_constraintdef(o.oid))
                                             ORDER BY array_position('{p,u,x,c}', o.contype::text), o.conname), '[]')
                   FROM pg_constraint AS o
                   WHERE o.conrelid = $1 AND o.contype IN ('p', 'u', 'x', 'c') AND o.conkey && $2 AND o.coninhcount = 0)
               || (SELECT coalesce(jsonb_agg(schema_operator.index_of(i.indexrelid)), '[]')
                   FROM pg_index AS i
                   WHERE i.indrelid = $1 AND i.indisvalid
                     AND EXISTS (SELECT FROM pg_depend AS d
                                 WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
                                   AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND d.refobjsubid = ANY ($2))
                     AND NOT EXISTS (SELECT FROM pg_constraint AS o
                                     WHERE o.conindid = i.indexrelid AND o.contype IN ('p', 'u', 'x'))
                     AND NOT EXISTS (SELECT FROM pg_inherits AS h WHERE h.inhrelid = i.indexrelid))
               || (SELECT coalesce(jsonb_agg(g), '[]')
                   FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
                   CROSS JOIN LATERAL schema_operator.granting(schema_operator.name_of($1), a.attname, a.attacl, c.relowner) AS g
                   WHERE a.attrelid = $1 AND a.attnum = ANY ($2)),
        'foreign_keys', (
            SELECT coalesce(jsonb_agg(format('ALTER TABLE %s ADD CONSTRAINT %I %s', schema_operator.name_of(o.conrelid),
                                             o.conname, pg_get_constraintdef(o.oid)) ORDER BY o.oid), '[]')
            FROM pg_constraint AS o
            WHERE o.contype = 'f' AND o.conparentid = 0
              AND ((o.conrelid = $1 AND o.conkey && $2) OR (o.confrelid = $1 AND o.confkey && $2))))
$$;

COMMENT ON FUNCTION schema_operator.definition_with(oid, int2[]) IS
    'What goes with columns of a table when they are dropped, as statements that make it again.';

-- Putting back. Nothing newer is overwritten: not a row with the same key, not a value of a column's own.

CREATE FUNCTION schema_operator.table_of(a schema_operator.archives) RETURNS oid
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(
        (SELECT c.oid FROM pg_class AS c
         WHERE c.oid = a.table_oid AND c.relkind IN ('r', 'p')
           AND a.archive_oid = to_regclass(format('schema_operator.%I', a.archive_table))),
        (SELECT c.oid FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
         WHERE n.nspname = a.table_schema AND c.relname = a.table_name AND c.relkind IN ('r', 'p')))
$$;

COMMENT ON FUNCTION schema_operator.table_of(schema_operator.archives) IS
    'The table an archive is of: under whatever name it has now, else the one of that name; absent where there is none.';

CREATE FUNCTION schema_operator.item_of(a schema_operator.archives) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_build_object('kind', a.kind, 'name', format('%I.%I', a.table_schema, a.table_name), 'columns', (
        SELECT jsonb_agg(c -> 'name' ORDER BY (c ->> 'number')::int) FROM jsonb_array_elements(a.columns) AS c))
$$;

COMMENT ON FUNCTION schema_operator.item_of(schema_operator.archives) IS 'An archive as name_archive names it.';

CREATE FUNCTION schema_operator.match_columns(a schema_operator.archives, target oid, columns jsonb)
RETURNS TABLE (name text, present name, number int2, value text, there text, kept text, problem text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT c.name, p.attname, p.attnum,
           format('a.%I', c.name) || CASE WHEN c.text THEN '::' || format_type(p.atttypid, p.atttypmod) ELSE '' END,
           't.' || quote_ident(p.attname) || CASE WHEN w.as_text THEN '::text' ELSE '' END,
           format('a.%I', c.name) || CASE WHEN w.as_text AND NOT c.text THEN '::text' ELSE '' END,
           CASE WHEN p.attnum IS NULL THEN format('column %I is not there any more', c.name)
                WHEN p.attgenerated <> '' THEN format('column %I is generated now', c.name)
                WHEN format_type(p.atttypid, NULL) <> c.base AND NOT EXISTS (
                         SELECT FROM pg_cast AS k JOIN pg_attribute AS s
                           ON s.attrelid = to_regclass(format('schema_operator.%I', a.archive_table)) AND s.attname = c.name
                         WHERE NOT c.text AND k.castsource = s.atttypid AND k.casttarget = p.atttypid AND k.castcontext = 'i')
                THEN format('column %I was of type %s and is of type %s', c.name, c.base, format_type(p.atttypid, NULL)) END
    FROM jsonb_to_recordset(match_columns.columns) AS c (number int2, name text, base text, text bool)
    LEFT JOIN LATERAL (
        SELECT p.* FROM pg_attribute AS p
        WHERE p.attrelid = target AND NOT p.attisdropped AND p.attnum > 0
          AND ((target = a.table_oid AND p.attnum = c.number) OR p.attname = c.name)
        ORDER BY target = a.table_oid AND p.attnum = c.number DESC LIMIT 1) AS p ON true
    LEFT JOIN LATERAL (SELECT c.text OR NOT schema_operator.is_comparable(p.atttypid) AS as_text) AS w ON true
    ORDER BY c.number
$$;

COMMENT ON FUNCTION schema_operator.match_columns(schema_operator.archives, oid, jsonb) IS
    'Finds archived columns in the table as it is now: the name there, the value to put there, both sides of a comparison, '
    'and what is against it.';

CREATE FUNCTION schema_operator.own_value(target oid, number int2) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT concat(format('t.%I IS NOT NULL', p.attname),
        (SELECT format(' AND %s IS DISTINCT FROM %s', w.there, CASE WHEN w.as_text THEN format('(%s)::text', d) ELSE format('(%s)', d) END)
         FROM schema_operator.constant_default(p.attrelid, p.attnum) AS d WHERE d IS NOT NULL),
        CASE WHEN p.atthasmissing THEN format(' AND %s IS DISTINCT FROM %L%s', w.there, (p.attmissingval::text::text[])[1],
             CASE WHEN w.as_text THEN '' ELSE '::' || format_type(p.atttypid, p.atttypmod) END) END)
    FROM pg_attribute AS p
    CROSS JOIN LATERAL (SELECT schema_operator.is_kept_as_text(p.atttypid) OR NOT schema_operator.is_comparable(p.atttypid) AS as_text) AS k
    CROSS JOIN LATERAL (SELECT k.as_text, format(CASE WHEN k.as_text THEN 't.%I::text' ELSE 't.%I' END, p.attname) AS there) AS w
    WHERE p.attrelid = $1 AND p.attnum = $2
$$;

COMMENT ON FUNCTION schema_operator.own_value(oid, int2) IS
    'The condition that a row has a value of its own in a column: none that the column''s default has put there.';

CREATE FUNCTION schema_operator.prepare_place(a schema_operator.archives, careful boolean) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    target oid := schema_operator.table_of(a);
    name text := format('%I.%I', a.table_schema, a.table_name);
    statement text;
    described record;
    added jsonb := '[]';
    filled boolean;
BEGIN
    IF to_regclass(format('schema_operator.%I', a.archive_table)) IS NULL THEN
        RAISE EXCEPTION 'the archive of % of % is gone: %', schema_operator.name_archive(schema_operator.item_of(a)),
            to_char(a.archived_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"'),
            CASE WHEN a.expires_at < clock_timestamp()
                 THEN format('its table %s was dropped, because it was kept until %s', a.archive_table,
                             to_char(a.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"'))
                 ELSE format('somebody has removed its table %s, or left it out of a dump', a.archive_table) END
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'SELECT * FROM schema_operator.available_archives shows what is there; else look in a backup.';
    END IF;
    IF target IS NULL AND (a.kind <> 'table' OR a.definition IS NULL) THEN
        RAISE EXCEPTION 'table % is not there, and this archive holds %', name,
            CASE WHEN a.kind = 'table' THEN 'only its rows: it belongs to an extension'
                 ELSE format('only %s', schema_operator.name_archive(schema_operator.item_of(a))) END
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Make the table first.';
    END IF;
    IF target IS NULL THEN
        FOR statement IN SELECT * FROM jsonb_array_elements_text(a.definition -> 'create') LOOP
            EXECUTE statement;
        END LOOP;
        RETURN jsonb_build_object('target', schema_operator.table_of(a)::int8, 'made', true);
    END IF;
    name := schema_operator.name_of(target);
    IF a.kind = 'column' THEN
        FOR described IN
            SELECT c.*, m.number AS present FROM jsonb_to_recordset(a.columns) AS c
                (number int2, name text, type text, "collation" text, "default" text, constant bool, identity text, not_null bool)
            LEFT JOIN schema_operator.match_columns(a, target, a.columns) AS m ON m.name = c.name
            ORDER BY c.number
        LOOP
            CONTINUE WHEN described.present IS NOT NULL;
            IF added = '[]' THEN
                FOR statement IN SELECT * FROM jsonb_array_elements_text(a.definition -> 'create') LOOP
                    EXECUTE statement;
                END LOOP;
            END IF;
            EXECUTE format('ALTER TABLE %s ADD COLUMN %I %s', name, described.name, described.type)
                || coalesce(' COLLATE ' || described."collation", '')
                || CASE WHEN described.constant THEN ' DEFAULT ' || described."default"
                        || CASE WHEN described.not_null THEN ' NOT NULL' ELSE '' END ELSE '' END;
            added := added || jsonb_build_array(described.name);
        END LOOP;
    ELSIF careful AND a.kind = 'table' THEN
        EXECUTE format('SELECT EXISTS (SELECT FROM %s)', name) INTO filled;
        IF filled THEN
            RETURN jsonb_build_object('there', true, 'skipped', format('there are rows in %s already', name));
        END IF;
    END IF;
    RETURN jsonb_build_object('target', target::int8, 'made', false, 'added', added);
END
$$;

COMMENT ON FUNCTION schema_operator.prepare_place(schema_operator.archives, boolean) IS
    'Makes the table or the columns again that an archive is of, where they are not there.';

CREATE FUNCTION schema_operator.set_triggers(target oid, back jsonb) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    one record;
    found jsonb := '[]';
BEGIN
    IF back IS NULL THEN
        FOR one IN
            SELECT schema_operator.name_of(g.tgrelid) AS name, g.tgname, g.tgenabled
            FROM pg_trigger AS g
            WHERE g.tgrelid IN (SELECT target UNION SELECT p.relid FROM pg_partition_tree(target) AS p)
              AND NOT g.tgisinternal AND g.tgenabled <> 'D'
        LOOP
            EXECUTE format('ALTER TABLE ONLY %s DISABLE TRIGGER %I', one.name, one.tgname);
            found := found || jsonb_build_array(to_jsonb(one));
        END LOOP;
        RETURN found;
    END IF;
    IF back <> '[]' THEN
        SET CONSTRAINTS ALL IMMEDIATE;  -- a table with checks to come cannot be altered
    END IF;
    FOR one IN SELECT * FROM jsonb_to_recordset(back) AS b (name text, tgname text, tgenabled text) LOOP
        EXECUTE format('ALTER TABLE ONLY %s ENABLE %sTRIGGER %I', one.name,
            CASE one.tgenabled WHEN 'R' THEN 'REPLICA ' WHEN 'A' THEN 'ALWAYS ' ELSE '' END, one.tgname);
    END LOOP;
    RETURN '[]';
END
$$;

COMMENT ON FUNCTION schema_operator.set_triggers(oid, jsonb) IS
    'Disables the triggers of a table and gives which, or (back) enables those again as they were.';

CREATE FUNCTION schema_operator.move_sequences(target oid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    one record;
    reached int8;
    last int8;
BEGIN
    FOR one IN
        SELECT DISTINCT schema_operator.name_of(target) AS name, a.attname, schema_operator.name_of(q.oid) AS sequence, s.seqincrement
        FROM pg_attribute AS a
        CROSS JOIN LATERAL (
            SELECT d.objid AS oid FROM pg_depend AS d
            WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = a.attrelid
              AND d.refobjsubid = a.attnum AND d.deptype IN ('a', 'i')
            UNION
            SELECT d.refobjid FROM pg_attrdef AS f
            JOIN pg_depend AS d ON d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid AND d.refclassid = 'pg_class'::regclass
            WHERE f.adrelid = a.attrelid AND f.adnum = a.attnum) AS q
        JOIN pg_sequence AS s ON s.seqrelid = q.oid
        WHERE a.attrelid = target AND a.attnum > 0 AND NOT a.attisdropped
          AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
    LOOP
        EXECUTE format('SELECT %s(t.%I) FROM %s AS t', CASE WHEN one.seqincrement > 0 THEN 'max' ELSE 'min' END, one.attname, one.name)
        INTO reached;
        EXECUTE format('SELECT s.last_value FROM %s AS s', one.sequence) INTO last;
        IF (CASE WHEN one.seqincrement > 0 THEN reached >= last ELSE reached <= last END) THEN
            PERFORM setval(one.sequence, reached);
        END IF;
    END LOOP;
END
$$;

COMMENT ON FUNCTION schema_operator.move_sequences(oid) IS 'Moves the sequences of a table past what is in its columns.';

CREATE FUNCTION schema_operator.fill(a schema_operator.archives, target oid, careful boolean, recovery int8)
RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    table_name text := (SELECT CASE c.relkind WHEN 'p' THEN '' ELSE 'ONLY ' END || schema_operator.name_of(target)
                        FROM pg_class AS c WHERE c.oid = target);
    source text := format('schema_operator.%I AS a', a.archive_table);
    problem text;
    same_row text;
    differs text;
    first_key text;
    key_of_row text;
    triggers jsonb;
    restored int8;
    gone int8 := 0;
    conflicts int8 := 0;
    absent int8;
    is_empty boolean;
    numbers int2[];
    statement text;
BEGIN
    SELECT m.problem INTO problem FROM schema_operator.match_columns(a, target, a.key_columns || a.columns) AS m
    WHERE m.problem IS NOT NULL LIMIT 1;
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION 'the archive of % does not fit %: %', schema_operator.name_archive(schema_operator.item_of(a)),
            schema_operator.name_of(target), problem
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = format('Change the table back, or copy by hand from schema_operator.%I.', a.archive_table);
    END IF;
    SELECT string_agg(format('%s = %s', m.there, m.kept), ' AND '), min(format('t.%I IS NULL', m.present)),
           format('jsonb_build_object(%s)', string_agg(format('%L, a.%I', m.present, m.name), ', '))
    INTO same_row, first_key, key_of_row
    FROM schema_operator.match_columns(a, target, a.key_columns) AS m;
    IF a.kind = 'column' THEN
        numbers := ARRAY(SELECT m.number FROM schema_operator.match_columns(a, target, a.columns) AS m);
        IF careful THEN
            numbers := schema_operator.without_own_values(target, numbers);
            IF numbers = '{}' THEN
                RETURN jsonb_build_object('there', true, 'skipped', 'there are values in it already');
            END IF;
        END IF;
        SELECT string_agg(format('%s IS DISTINCT FROM %s', m.there, m.kept), ' OR ') INTO differs
        FROM schema_operator.match_columns(a, target, a.columns) AS m WHERE m.number = ANY (numbers);
        SELECT format('UPDATE %s AS t SET %s FROM %s WHERE %s AND (%s)', table_name,
                      string_agg(format('%I = %s', m.present, CASE WHEN cardinality(numbers) = 1 THEN m.value ELSE
                          format('CASE WHEN %s THEN t.%I ELSE %s END', schema_operator.own_value(target, m.number), m.present, m.value) END), ', '),
                      source, same_row,
                      string_agg(format('NOT (%s) AND %s IS DISTINCT FROM %s',
                                        schema_operator.own_value(target, m.number), m.there, m.kept), ' OR '))
        INTO statement
        FROM schema_operator.match_columns(a, target, a.columns) AS m WHERE m.number = ANY (numbers);
    ELSE
        EXECUTE format('SELECT NOT EXISTS (SELECT FROM %s)', table_name) INTO is_empty;
        IF same_row IS NULL AND NOT is_empty THEN
            RAISE EXCEPTION 'the rows of % had no key, and there are rows in it: nobody could tell which of them are the same',
                schema_operator.name_of(target)
                USING ERRCODE = 'object_not_in_prerequisite_state',
                      HINT = format('Copy by hand what is missing from schema_operator.%I.', a.archive_table);
        END IF;
        SELECT coalesce(string_agg(format('%s IS DISTINCT FROM %s', m.there, m.kept), ' OR '), 'false'),
               format('INSERT INTO %s%s SELECT %s FROM %s', schema_operator.name_of(target),
                      coalesce(' (' || string_agg(quote_ident(m.present), ', ') || ') OVERRIDING SYSTEM VALUE', ''),
                      coalesce(string_agg(m.value, ', '), ''), source)
        INTO differs, statement
        FROM schema_operator.match_columns(a, target, a.columns) AS m;
        statement := statement
            || CASE WHEN is_empty THEN '' ELSE format(' WHERE NOT EXISTS (SELECT FROM %s AS t WHERE %s)', table_name, same_row) END
            || CASE WHEN schema_operator.has_other_keys(target) THEN ' ON CONFLICT DO NOTHING' ELSE '' END;
    END IF;
    triggers := schema_operator.set_triggers(target, NULL);
    EXECUTE statement;
    GET DIAGNOSTICS restored = ROW_COUNT;
    PERFORM schema_operator.set_triggers(target, triggers);
    PERFORM schema_operator.move_sequences(target);
    IF same_row IS NOT NULL AND restored < a.rows THEN
        EXECUTE format('SELECT count(*) FILTER (WHERE %s), count(*) FILTER (WHERE NOT (%1$s) AND (%s)) '
                       'FROM %s LEFT JOIN %s AS t ON %s', first_key, differs, source, table_name, same_row)
        INTO absent, conflicts;
        IF a.kind = 'column' THEN
            gone := absent;
        ELSE
            conflicts := conflicts + absent;
        END IF;
        IF conflicts > 0 THEN
            EXECUTE format('INSERT INTO schema_operator.recovery_conflicts (recovery, archive, key, reason) '
                'SELECT %s, %s, %s, CASE WHEN %s THEN %L ELSE %L END FROM %s LEFT JOIN %s AS t ON %s WHERE %s',
                recovery, a.id, key_of_row, first_key, 'another row has a value that may be there only once',
                CASE a.kind WHEN 'column' THEN 'the row has another value now' ELSE 'the row has other values now' END,
                source, table_name, same_row,
                CASE a.kind WHEN 'column' THEN format('NOT (%s) AND (%s)', first_key, differs)
                            ELSE format('(%s) OR (%s)', first_key, differs) END);
        END IF;
    END IF;
    RETURN jsonb_build_object('restored', restored, 'gone', gone, 'conflicts', conflicts,
                              'kept', a.rows - restored - gone - conflicts);
END
$$;

COMMENT ON FUNCTION schema_operator.fill(schema_operator.archives, oid, boolean, int8) IS
    'Puts archived rows or values into a table, keeps what is newer, and lists it.';

CREATE FUNCTION schema_operator.without_own_values(target oid, numbers int2[]) RETURNS int2[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    number int2;
    filled boolean;
    left_over int2[] := '{}';
BEGIN
    FOREACH number IN ARRAY numbers LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s AS t WHERE %s)', schema_operator.name_of(target),
                       schema_operator.own_value(target, number)) INTO filled;
        IF NOT filled THEN
            left_over := left_over || number;
        END IF;
    END LOOP;
    RETURN left_over;
END
$$;

COMMENT ON FUNCTION schema_operator.without_own_values(oid, int2[]) IS
    'Of some columns, those in which no row has a value of its own.';

CREATE FUNCTION schema_operator.has_other_keys(target oid) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    -- Rows that are not to be inserted twice are known by one key; ON CONFLICT is for the others, and cannot be said where
    -- one of them is only checked at the end.
    SELECT count(*) > 0 AND bool_and(i.indimmediate)
    FROM pg_index AS i WHERE i.indrelid = $1 AND (i.indisunique OR i.indisexclusion)
$$;

COMMENT ON FUNCTION schema_operator.has_other_keys(oid) IS 'Whether what is inserted can collide by more than the key.';

CREATE FUNCTION schema_operator.finish_place(a schema_operator.archives, state jsonb, keys boolean) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    name text := schema_operator.name_of((state ->> 'target')::oid);
    statement text;
    left_out jsonb := '[]';
BEGIN
    FOR statement IN
        SELECT * FROM schema_operator.finish_columns(a, name, state) WHERE NOT keys
        UNION ALL
        SELECT * FROM jsonb_array_elements_text(a.definition -> CASE WHEN keys THEN 'foreign_keys' ELSE 'finish' END)
    LOOP
        BEGIN
            EXECUTE statement;
        EXCEPTION
            WHEN OTHERS THEN
                -- What is wrong with the statement is told; a full disk, a lock or a wish to stop is not its fault.
                IF left(SQLSTATE, 2) NOT IN ('0A', '0L', '0P', '22', '23', '2B', '39', '42', 'P0')
                   AND SQLSTATE NOT IN ('55000', '55006') THEN
                    RAISE;
                END IF;
                -- A foreign key between two tables that are made again is known to both.
                CONTINUE WHEN keys AND SQLSTATE = '42710';
                left_out := left_out || jsonb_build_array(jsonb_build_object('statement', statement, 'sqlstate', SQLSTATE));
        END;
    END LOOP;
    RETURN left_out;
END
$$;

COMMENT ON FUNCTION schema_operator.finish_place(schema_operator.archives, jsonb, boolean) IS
    'Gives a table or columns made again their constraints and all else; gives what the server refuses.';

CREATE FUNCTION schema_operator.finish_columns(a schema_operator.archives, name text, state jsonb) RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.statement
    FROM jsonb_to_recordset(CASE a.kind WHEN 'column' THEN a.columns ELSE '[]' END) AS c
        (number int2, name text, "default" text, constant bool, identity text, not_null bool, comment text)
    CROSS JOIN LATERAL (VALUES
        (1, c."default" IS NOT NULL AND NOT c.constant, format('ALTER TABLE %s ALTER COLUMN %I SET DEFAULT %s', $2, c.name, c."default")),
        (2, c."default" IS NOT NULL AND NOT c.constant AND c.not_null, format('UPDATE %s SET %I = DEFAULT WHERE %2$I IS NULL', $2, c.name)),
        -- Rows that were written meanwhile have no number yet.
        (3, c.identity <> '', format(
            'UPDATE %s AS t SET %I = n.number FROM (SELECT r.tableoid, r.ctid, (SELECT coalesce(max(m.%2$I), 0) FROM %1$s AS m) '
            '+ row_number() OVER () AS number FROM %1$s AS r WHERE r.%2$I IS NULL) AS n '
            'WHERE n.tableoid = t.tableoid AND n.ctid = t.ctid', $2, c.name)),
        (4, c.not_null AND NOT c.constant, format('ALTER TABLE %s ALTER COLUMN %I SET NOT NULL', $2, c.name)),
        (5, c.identity <> '', format('ALTER TABLE %s ALTER COLUMN %I ADD GENERATED %s AS IDENTITY', $2, c.name,
                                     CASE c.identity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END)),
        (6, c.identity <> '', format('SELECT schema_operator.move_sequences(%L::regclass)', $2)),
        (7, c.comment IS NOT NULL, format('COMMENT ON COLUMN %s.%I IS %L', $2, c.name, c.comment))
    ) AS s (place, needed, statement)
    WHERE s.needed AND $3 -> 'added' ? c.name
    ORDER BY c.number, s.place
$$;

COMMENT ON FUNCTION schema_operator.finish_columns(schema_operator.archives, text, jsonb) IS
    'The statements that give columns added again what rows without a value kept them from having at once.';

CREATE FUNCTION schema_operator.depth_of(target oid) RETURNS int
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH RECURSIVE above (oid, depth) AS (
        SELECT $1, 0
        UNION
        SELECT f.confrelid, a.depth + 1 FROM above AS a
        JOIN pg_constraint AS f ON f.conrelid = a.oid AND f.contype = 'f' AND f.confrelid <> a.oid
        WHERE a.depth < 32
    )
    SELECT max(depth) FROM above
$$;

COMMENT ON FUNCTION schema_operator.depth_of(oid) IS
    'How many foreign keys lead up from a table: rows are put back from the top down.';

CREATE FUNCTION schema_operator.put_back(ids int8[], recovered_by text, careful boolean) RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET row_security = off SET datestyle = 'ISO, YMD' SET intervalstyle = 'postgres'
SET extra_float_digits = 1 SET bytea_output = 'hex' SET timezone = 'UTC' SET standard_conforming_strings = on AS $$
DECLARE
    a schema_operator.archives;
    states jsonb := '{}';
    state jsonb;
    recovery int8 := (SELECT coalesce(max(r.id), 0) FROM schema_operator.recoveries AS r);
    done jsonb := '[]';
BEGIN
    -- The last that was destroyed comes back first: places, then what was in them, from the top of foreign keys down, then
    -- what needs all rows.
    FOR phase IN 1..4 LOOP
        FOR a IN
            SELECT r.* FROM schema_operator.archives AS r WHERE r.id = ANY (ids)
            ORDER BY CASE WHEN phase = 2 THEN schema_operator.depth_of((states -> r.id::text ->> 'target')::oid) END, r.id DESC
        LOOP
            state := coalesce(states -> a.id::text, '{}');
            CONTINUE WHEN state ? 'skipped';
            CONTINUE WHEN phase > 2 AND NOT (state ->> 'made')::bool AND coalesce(state -> 'added', '[]') = '[]';
            BEGIN
                CASE phase
                    WHEN 1 THEN
                        state := schema_operator.prepare_place(a, careful);
                    WHEN 2 THEN
                        state := state || jsonb_build_object('recovery', recovery + 1)
                              || schema_operator.fill(a, (state ->> 'target')::oid, careful, recovery + 1);
                        recovery := recovery + 1;
                    ELSE
                        state := state || jsonb_build_object('left_out', coalesce(state -> 'left_out', '[]')
                                                                         || schema_operator.finish_place(a, state, phase = 4));
                END CASE;
            EXCEPTION
                WHEN data_exception OR integrity_constraint_violation OR syntax_error_or_access_rule_violation
                     OR object_not_in_prerequisite_state THEN
                    IF NOT careful OR SQLSTATE LIKE '55P%' THEN
                        RAISE;
                    END IF;
                    RAISE NOTICE '% cannot be put back: %', schema_operator.name_archive(schema_operator.item_of(a)), SQLERRM;
                    state := state || jsonb_build_object('skipped', CASE SQLSTATE WHEN '55000' THEN SQLERRM
                        ELSE format('the server refuses it (SQLSTATE %s)', SQLSTATE) END);
            END;
            states := states || jsonb_build_object(a.id::text, state);
        END LOOP;
    END LOOP;
    FOR a IN SELECT r.* FROM schema_operator.archives AS r WHERE r.id = ANY (ids) ORDER BY r.id LOOP
        state := jsonb_build_object('archive', a.id, 'kind', a.kind, 'table', format('%I.%I', a.table_schema, a.table_name),
                                    'what', schema_operator.name_archive(schema_operator.item_of(a)), 'skipped', NULL,
                                    'there', false, 'restored', 0, 'kept', 0, 'gone', 0, 'conflicts', 0, 'left_out', '[]'::jsonb)
              || ((states -> a.id::text) - 'target' - 'made' - 'added');
        IF state ->> 'skipped' IS NULL THEN
            INSERT INTO schema_operator.recoveries
                   (id, archive, recovered_by, restored, kept, gone, conflicts, left_out)
            VALUES ((state ->> 'recovery')::int8, a.id, left(recovered_by, 255), (state ->> 'restored')::int8,
                    (state ->> 'kept')::int8, (state ->> 'gone')::int8, (state ->> 'conflicts')::int8, state -> 'left_out');
        END IF;
        done := done || jsonb_build_array(state);
    END LOOP;
    RETURN done;
END
$$;

COMMENT ON FUNCTION schema_operator.put_back(int8[], text, boolean) IS
    'Puts archives back together, and writes down what was. With careful, what a script has put there already is left as it '
    'is, and what cannot be put back is told instead of refused.';

CREATE FUNCTION schema_operator.restore_archive(archive bigint, by text) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM schema_operator.archives AS r WHERE r.id = archive) THEN
        RAISE EXCEPTION 'there is no archive %', archive
            USING ERRCODE = 'no_data_found', HINT = 'SELECT * FROM schema_operator.available_archives shows those there are.';
    END IF;
    RETURN schema_operator.put_back(ARRAY[archive], by, false) -> 0;
END
$$;

COMMENT ON FUNCTION schema_operator.restore_archive(bigint, text) IS
    'Puts one archive back and keeps what is newer; gives how much was restored, kept, gone and in conflict.';

CREATE FUNCTION schema_operator.restorable(version varchar) RETURNS int8[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    -- Rollbacks of the version count its applications; archives and changes are in one order by their positions.
    WITH changes AS (
        SELECT s.position, s.action FROM schema_operator.version_scripts AS s WHERE s.version = $1
    ),
    last AS (SELECT max(c.position) AS position FROM changes AS c WHERE c.action = 'apply'),
    before AS (
        SELECT coalesce(max(c.position), 0) AS position FROM changes AS c, last
        WHERE c.action = 'rollback' AND c.position < last.position
    )
    SELECT coalesce(array_agg(r.id ORDER BY r.id), '{}')
    FROM schema_operator.archives AS r, last, before
    WHERE r.version = $1 AND r.action = 'apply' AND r.after_position >= before.position AND r.after_position < last.position
$$;

COMMENT ON FUNCTION schema_operator.restorable(varchar) IS
    'The archives of the last application of a version, also of one that was committed in several transactions.';

CREATE FUNCTION schema_operator.restore_version(version varchar, by text) RETURNS jsonb
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    SELECT schema_operator.put_back(schema_operator.restorable($1), $2, true)
$$;

COMMENT ON FUNCTION schema_operator.restore_version(varchar, text) IS
    'Puts back what the last application of a version has destroyed, unless it is there again: a part of its rollback.';

CREATE PROCEDURE schema_operator.recover_data(table_name varchar(255), backup_timestamp timestamptz)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    parts text[];
    schemas text[];
    newest schema_operator.archives;
    first timestamptz;
    one jsonb;
BEGIN
    PERFORM schema_operator.take_lock();
    IF table_name IS NULL THEN
        RAISE EXCEPTION 'no table is named'
            USING ERRCODE = 'null_value_not_allowed', HINT = 'Name the table whose rows or values are missing.';
    END IF;
    IF backup_timestamp IS NULL THEN
        RAISE EXCEPTION 'no time is given'
            USING ERRCODE = 'null_value_not_allowed', HINT = 'Give clock_timestamp() for the last archive.';
    END IF;
    BEGIN
        parts := parse_ident(table_name);
    EXCEPTION WHEN invalid_parameter_value THEN
        parts := ARRAY[table_name::text];
    END;
    schemas := schema_operator.schemas_of(parts);
    IF cardinality(schemas) = 0 THEN
        RAISE EXCEPTION 'there is no table %, and no archive of one', table_name
            USING ERRCODE = 'undefined_table', HINT = 'SELECT DISTINCT table_schema, table_name FROM '
                'schema_operator.available_archives shows what can be recovered; a name with capital letters needs "quotes".';
    END IF;
    IF cardinality(schemas) > 1 THEN
        RAISE EXCEPTION 'there are several tables %: in the schemas %', table_name, array_to_string(schemas, ', ')
            USING ERRCODE = 'ambiguous_alias', HINT = format('Say which, for example %L.',
                (SELECT format('%I.%I', schemas[1], parts[cardinality(parts)])));
    END IF;
    SELECT min(r.archived_at) INTO first
    FROM schema_operator.archives_of(schemas[1], parts[cardinality(parts)]) AS r;
    SELECT r.* INTO newest FROM schema_operator.archives_of(schemas[1], parts[cardinality(parts)]) AS r
    WHERE r.archived_at <= backup_timestamp ORDER BY r.archived_at DESC, r.id DESC LIMIT 1;
    IF first IS NULL THEN
        RAISE EXCEPTION 'nothing of table %.% was ever archived', quote_ident(schemas[1]), quote_ident(parts[cardinality(parts)])
            USING ERRCODE = 'no_data_found', HINT = 'SELECT * FROM schema_operator.available_archives shows what was.';
    END IF;
    IF newest.id IS NULL THEN
        RAISE EXCEPTION 'the first archive of %.% was made at %, after %', quote_ident(schemas[1]),
            quote_ident(parts[cardinality(parts)]), first, backup_timestamp
            USING ERRCODE = 'no_data_found', HINT = 'Give that time, or a later one.';
    END IF;
    FOR one IN
        SELECT * FROM jsonb_array_elements(schema_operator.put_back(ARRAY(
            SELECT r.id FROM schema_operator.archives_of(schemas[1], parts[cardinality(parts)]) AS r
            WHERE r.transaction = newest.transaction), schema_operator.person(), false))
    LOOP
        RAISE NOTICE '%: % rows put back from the archive of version % (%), % are there as they were, % are gone, % have changed since',
            one ->> 'what', one ->> 'restored', newest.version, newest.archived_at, one ->> 'kept', one ->> 'gone', one ->> 'conflicts';
        IF (one ->> 'conflicts')::int8 > 0 THEN
            RAISE NOTICE 'What has changed stays as it is: SELECT * FROM schema_operator.recovery_conflicts WHERE recovery = %',
                one ->> 'recovery';
        END IF;
        IF one -> 'left_out' <> '[]' THEN
            RAISE NOTICE 'Not repeated: %', one ->> 'left_out';
        END IF;
    END LOOP;
EXCEPTION WHEN foreign_key_violation THEN
    RAISE EXCEPTION '%', SQLERRM
        USING ERRCODE = 'foreign_key_violation',
              HINT = 'The rows belong to rows of another table that are not there: recover that table first.';
END
$$;

COMMENT ON PROCEDURE schema_operator.recover_data(varchar, timestamptz) IS
    'Puts back what was last destroyed of a table at or before a time, and keeps what is newer: a column, the table, or rows.';

CREATE FUNCTION schema_operator.schemas_of(parts text[]) RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT ARRAY(
        SELECT r.table_schema FROM schema_operator.archives AS r
        WHERE r.table_name = parts[cardinality(parts)] AND (cardinality(parts) < 2 OR r.table_schema = parts[cardinality(parts) - 1])
        UNION
        SELECT n.nspname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relname = parts[cardinality(parts)] AND c.relkind IN ('r', 'p') AND n.nspname <> 'schema_operator'
          AND n.nspname !~ '^pg_' AND (cardinality(parts) < 2 OR n.nspname = parts[cardinality(parts) - 1])
        ORDER BY 1)
$$;

COMMENT ON FUNCTION schema_operator.schemas_of(text[]) IS 'The schemas that have, or had, a table of a name.';

CREATE FUNCTION schema_operator.archives_of(table_schema text, table_name text) RETURNS SETOF schema_operator.archives
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT r.* FROM schema_operator.archives AS r
    WHERE (r.table_schema = $1 AND r.table_name = $2)
       OR schema_operator.table_of(r) = to_regclass(format('%I.%I', $1, $2))
$$;

COMMENT ON FUNCTION schema_operator.archives_of(text, text) IS
    'All archives of a table, those from before it was renamed among them.';

CREATE FUNCTION schema_operator.drop_expired_archives() RETURNS int8[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    one record;
    dropped int8[] := '{}';
BEGIN
    FOR one IN
        SELECT a.id, a.archive_table FROM schema_operator.archives AS a
        JOIN pg_class AS c ON c.relname = a.archive_table AND c.relnamespace = 'schema_operator'::regnamespace
        WHERE a.expires_at < clock_timestamp() AND pg_has_role(c.relowner, 'USAGE')
        ORDER BY a.id
    LOOP
        BEGIN
            EXECUTE format('LOCK TABLE schema_operator.%I IN ACCESS EXCLUSIVE MODE NOWAIT', one.archive_table);
            EXECUTE format('DROP TABLE schema_operator.%I', one.archive_table);
            dropped := dropped || one.id;
        EXCEPTION WHEN lock_not_available OR dependent_objects_still_exist THEN
            CONTINUE;  -- somebody looks at it: a later run will drop it
        END;
    END LOOP;
    RETURN dropped;
END
$$;

COMMENT ON FUNCTION schema_operator.drop_expired_archives() IS
    'Drops the archives of the caller that are older than they are kept, but for those that are read or needed; gives which.';

DO $$
DECLARE
    routine regprocedure;
BEGIN
    FOR routine IN
        SELECT p.oid::regprocedure FROM pg_catalog.pg_proc AS p WHERE p.pronamespace = 'schema_operator'::regnamespace
    LOOP
        EXECUTE pg_catalog.format('REVOKE EXECUTE ON ROUTINE %s FROM PUBLIC', routine);
    END LOOP;
END
$$;
