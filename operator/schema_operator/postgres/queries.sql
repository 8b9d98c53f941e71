-- What the runner asks a server about itself and about locks.
--
-- Format: a line with the name, lines of description, then the statement. All run with the search_path pinned to
-- pg_catalog, so that nothing in the database can stand in for a function, an operator or a view of PostgreSQL's.

-- guard_settings --
-- Limits of the guard session, which does nothing but hold a lock: it must not be ended for being idle, and a lost node
-- must be noticed (keepalives of the server's side: 5 s + 3 times 2 s).
SET search_path = pg_catalog, pg_temp;
SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0;
SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3;

-- facts --
-- What the server is. The last but one says whether client_connection_check_interval can be set there (it needs
-- POLLRDHUP).
SELECT pg_backend_pid(), current_setting('server_encoding'), current_database()::text, version() ~ 'linux',
       has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE');

-- system_identifier --
-- The identity of the cluster; asked only where the role may.
SELECT system_identifier::text FROM pg_control_system();

-- missing_extensions --
-- Which of some extensions are not in the database, in their order, and the version the server could install.
SELECT wanted.name, a.default_version
FROM unnest(%(names)s::text[]) WITH ORDINALITY AS wanted (name, number)
LEFT JOIN pg_available_extensions AS a ON a.name = wanted.name
WHERE NOT EXISTS (SELECT FROM pg_extension AS e WHERE e.extname = wanted.name)
ORDER BY wanted.number;

-- try_guard --
-- The lock that one run at a time holds, for as long as its guard session lives.
SELECT pg_try_advisory_lock({lock_class}, {guard});

-- take_token --
-- A lock no other run has the number of: it tells our guard session from another with the same process id.
SELECT pg_try_advisory_lock({token}::int8);

-- lock_holders --
-- Who holds the guard lock or the fence, oldest first. State, age and beginning are absent where the role may not see them.
SELECT l.pid, coalesce(nullif(a.application_name, ''), nullif(a.backend_type, 'client backend'), ''), a.state,
       EXTRACT(epoch FROM clock_timestamp() - a.backend_start)::float8,
       to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
FROM pg_locks AS l
LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.classid::int8 = %(lock_class)s::int8 AND l.objid::int8 = %(number)s::int8 AND l.objsubid = 2
ORDER BY a.backend_start NULLS LAST;

-- blockers --
-- Who keeps a backend waiting for a lock, the longest transaction first; and the relation and mode it waits for.
SELECT b.pid, coalesce(CASE WHEN b.pid = 0 THEN 'a prepared transaction' WHEN a.backend_type = 'autovacuum worker' THEN
                                'autovacuum' || CASE WHEN a.query LIKE '%%(to prevent wraparound)%%'
                                                     THEN ' to prevent wraparound' ELSE '' END END,
                       nullif(a.application_name, ''), nullif(a.backend_type, 'client backend'), ''), a.state,
       EXTRACT(epoch FROM clock_timestamp() - coalesce(a.xact_start, a.backend_start))::float8, NULL,
       CASE w.locktype WHEN 'transactionid' THEN 'a row lock' WHEN 'virtualxid' THEN 'an old snapshot'
            ELSE (SELECT string_agg(DISTINCT h.mode, ', ') || ' on ' || w.relation::regclass::text FROM pg_locks AS h
                  WHERE h.pid = b.pid AND h.granted AND h.locktype = w.locktype AND h.relation = w.relation) END,
       CASE WHEN %(show_queries)s::bool THEN nullif(left(a.query, 200), '<insufficient privilege>') END, '', w.relation::int8, w.mode
FROM unnest(pg_blocking_pids(%(pid)s::int4)) AS b (pid)
LEFT JOIN pg_stat_activity AS a ON a.pid = b.pid
LEFT JOIN LATERAL (
    SELECT l.locktype, l.relation, l.transactionid, l.mode FROM pg_locks AS l
    WHERE l.pid = %(pid)s::int4 AND NOT l.granted LIMIT 1) AS w ON true
ORDER BY a.xact_start NULLS LAST;

-- activity --
-- What a session reports of a long command; no row where it does nothing of the kind. The counters are read as JSON,
-- because servers have different ones. A name is absent where the relation is not committed yet.
SELECT a.view, (SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_class AS c
                JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = a.relation),
       (SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_class AS c
        JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = a.index), a.counters
FROM (SELECT 'create_index' AS view, p.relid AS relation, p.index_relid AS index, to_jsonb(p) AS counters
      FROM pg_stat_progress_create_index AS p WHERE p.pid = %(pid)s::int4
      UNION ALL
      SELECT 'vacuum', p.relid, 0, to_jsonb(p) FROM pg_stat_progress_vacuum AS p WHERE p.pid = %(pid)s::int4
      UNION ALL
      SELECT 'cluster', p.relid, 0, to_jsonb(p) FROM pg_stat_progress_cluster AS p WHERE p.pid = %(pid)s::int4
      UNION ALL
      SELECT 'analyze', p.relid, 0, to_jsonb(p) FROM pg_stat_progress_analyze AS p WHERE p.pid = %(pid)s::int4) AS a;

-- copy_activity --
-- The same of a COPY; the view is there from PostgreSQL 14 on.
SELECT 'copy', (SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_class AS c
                JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = p.relid), NULL, to_jsonb(p)
FROM pg_stat_progress_copy AS p WHERE p.pid = %(pid)s::int4;

-- lockers --
-- Who holds a lock on a relation that conflicts with one that is wanted, the longest transaction first.
SELECT coalesce(l.pid, 0), coalesce(CASE WHEN l.pid IS NULL THEN 'a prepared transaction' WHEN a.backend_type = 'autovacuum worker' THEN
                                'autovacuum' || CASE WHEN a.query LIKE '%%(to prevent wraparound)%%'
                                                     THEN ' to prevent wraparound' ELSE '' END END,
                       nullif(a.application_name, ''), nullif(a.backend_type, 'client backend'), ''), a.state,
       EXTRACT(epoch FROM clock_timestamp() - a.xact_start)::float8, NULL,
       string_agg(DISTINCT l.mode || ' on ' || l.relation::regclass::text, ', '),
       CASE WHEN %(show_queries)s::bool THEN nullif(left(a.query, 200), '<insufficient privilege>') END, coalesce(l.virtualtransaction, '')
FROM pg_locks AS l
JOIN unnest(%(relations)s::int8[]::oid[], %(modes)s::text[]) AS w (relation, mode)
  ON l.relation = w.relation AND l.mode = w.mode
LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'relation' AND l.granted AND l.pid IS DISTINCT FROM %(pid)s::int4
  AND l.database IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
GROUP BY l.pid, a.backend_type, a.query, a.application_name, a.state, a.xact_start, l.virtualtransaction
ORDER BY a.xact_start NULLS LAST;

-- cancel_autovacuum --
-- Cancel an autovacuum worker, as the server does for who waits longer than deadlock_timeout (proc.c, ProcSleep).
SELECT pg_cancel_backend(pid) FROM pg_stat_activity
WHERE pid = %(pid)s::int4 AND backend_type = 'autovacuum worker' AND query NOT LIKE '%%(to prevent wraparound)%%';

-- backend_start --
-- When this session began, to know it again among others that get its process id later.
SELECT backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid();

-- end_backend --
-- End a session we lost the connection to; finds none where another session has the process id by now.
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid = %(pid)s::int4 AND backend_start = %(backend_start)s::timestamptz;

-- begin --
-- Begin a transaction as if the session were new: what DISCARD ALL does, written out because DISCARD ALL cannot share a
-- message with BEGIN. Isolation and access are said, because a role may have other defaults.
BEGIN ISOLATION LEVEL {isolation} {access};
SET SESSION AUTHORIZATION DEFAULT; RESET ALL;
CLOSE ALL; UNLISTEN *; DEALLOCATE ALL; DISCARD PLANS; DISCARD TEMP; DISCARD SEQUENCES;
SELECT pg_catalog.pg_advisory_unlock_all();

-- begin_plain --
-- What `begin` does, between transactions of plain statements, which make no cursors, prepare and listen to nothing.
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
SET SESSION AUTHORIZATION DEFAULT; RESET ALL; DISCARD TEMP; DISCARD SEQUENCES

-- begin_fenced --
-- What `begin`, `limits` and `fence` do, for a transaction whose beginning nobody waits for: without the fence or the
-- guard it fails, and with it everything that was sent after it. `settings` are further set_config calls.
SELECT set_config('lock_timeout', {lock_timeout}, false), set_config('statement_timeout', '0', false),
       set_config('idle_in_transaction_session_timeout', '30s', false),
       set_config('tcp_keepalives_idle', '5', false), set_config('tcp_keepalives_interval', '2', false),
       set_config('tcp_keepalives_count', '3', false), set_config('standard_conforming_strings', 'on', false), {settings}
       pg_advisory_unlock_all(),
       1 / CASE WHEN f.taken THEN (NOT pg_try_advisory_xact_lock_shared({token}::int8))::int4 ELSE 0 END
FROM (SELECT pg_try_advisory_xact_lock({lock_class}, {fence}) AS taken OFFSET 0) AS f;

-- begin_again --
-- Begin a further transaction of the same script: what the script has set stays, except while we take the fence.
BEGIN ISOLATION LEVEL {isolation} {access};
SELECT pg_catalog.set_config('schema_operator.search_path', pg_catalog.current_setting('search_path'), true);
SET LOCAL search_path = pg_catalog, pg_temp;

-- unpin_again --
-- Give the script's own search_path back.
SELECT pg_catalog.set_config('search_path', pg_catalog.current_setting('schema_operator.search_path'), true);

-- restore --
-- Become ourselves again in the middle of a transaction, whatever a script has set.
SET SESSION AUTHORIZATION DEFAULT; RESET ALL;

-- step_aside --
-- Become ourselves for the rest of this transaction; what the script has set is there again in the next one.
SET LOCAL SESSION AUTHORIZATION DEFAULT; SET LOCAL ROLE {role}; SET LOCAL search_path = pg_catalog, pg_temp;

-- whereabouts --
-- Who and where a script is in the middle of its transaction, to be there again; and where its names are looked up.
SELECT session_user::pg_catalog.text, pg_catalog.current_setting('role'), pg_catalog.current_setting('search_path'),
       pg_catalog.current_setting('statement_timeout'),
       coalesce((SELECT pg_catalog.string_agg(pg_catalog.quote_ident(s.name::pg_catalog.text), ', ')
                 FROM pg_catalog.unnest(pg_catalog.current_schemas(true)) AS s (name)), '');

-- aside --
-- Become ourselves for a moment, without a limit of the script's, and with its names.
SET LOCAL SESSION AUTHORIZATION DEFAULT; SET LOCAL ROLE {role}; SET LOCAL statement_timeout = 0;
SELECT pg_catalog.set_config('search_path', {schemas}, true);

-- back --
-- Be who and where the script was.
SET LOCAL SESSION AUTHORIZATION {user}; SET LOCAL ROLE {role};
SELECT pg_catalog.set_config('search_path', {search_path}, true), pg_catalog.set_config('statement_timeout', {timeout}, true);

-- limits --
-- Limits of a working session. lock_timeout bounds the stall that our waiting causes others; a statement may take as
-- long as it needs; between statements we are never idle for long, unless the runner hangs. The keepalives are the
-- server's (a lost node is noticed after 5 s + 3 times 2 s). Strings are as the reader of scripts reads them.
SET lock_timeout = {lock_timeout}; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = '30s';
SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3;
SET standard_conforming_strings = on;

-- impose --
-- Put those limits back that a script has weakened. A limit of the script's that is stricter stays.
SELECT CASE WHEN pg_catalog.current_setting('lock_timeout')::pg_catalog.interval
                 NOT BETWEEN '1 millisecond' AND {lock_timeout_text}
            THEN pg_catalog.set_config('lock_timeout', {lock_timeout}, false) END,
       CASE WHEN pg_catalog.current_setting('idle_in_transaction_session_timeout')::pg_catalog.interval
                 NOT BETWEEN '1 millisecond' AND '30 seconds'
            THEN pg_catalog.set_config('idle_in_transaction_session_timeout', '30s', false) END,
       pg_catalog.set_config('tcp_keepalives_idle', '5', false),
       pg_catalog.set_config('tcp_keepalives_interval', '2', false),
       pg_catalog.set_config('tcp_keepalives_count', '3', false);

-- pin --
-- What our own statements run with.
SET search_path = pg_catalog, pg_temp;

-- unpin --
-- What scripts run with: the search_path of the role and the database.
RESET search_path;

-- fence --
-- Take the fence, then, only then, see that our guard session lives: its token cannot be had. Gives the transaction's id
-- as well, by which the end of the transaction is told from the end of another.
SELECT f.taken, CASE WHEN f.taken THEN NOT pg_try_advisory_xact_lock_shared({token}::int8) END,
       pg_current_xact_id()::text
FROM (SELECT pg_try_advisory_xact_lock({lock_class}, {fence}) AS taken OFFSET 0) AS f;


-- resolve --
-- Find the relations that will be locked, under the script's search_path; an index is locked together with its table.
-- Several arrays are unnested in one call only where the name of the function stands alone.
WITH wanted AS (
    SELECT pg_catalog.to_regclass(u.name) AS relation, u.mode
    FROM ROWS FROM (pg_catalog.unnest({names}::pg_catalog.text[]), pg_catalog.unnest({modes}::pg_catalog.text[]))
         AS u (name, mode))
SELECT w.relation::pg_catalog.oid::pg_catalog.text, w.mode FROM wanted AS w WHERE w.relation IS NOT NULL
UNION
SELECT i.indrelid::pg_catalog.text, w.mode FROM wanted AS w JOIN pg_catalog.pg_index AS i ON i.indexrelid = w.relation;

-- own_alone --
-- Take the fence for a statement that cannot be in a transaction: the same lock, held by the session.
SELECT f.taken, CASE WHEN f.taken THEN NOT pg_catalog.pg_try_advisory_xact_lock_shared({token}::int8) END, ''
FROM (SELECT pg_catalog.pg_try_advisory_lock({lock_class}, {fence}) AS taken OFFSET 0) AS f;

-- renew --
-- Make the session like new outside of a transaction, but for its advisory locks, one of which is the fence.
SET SESSION AUTHORIZATION DEFAULT; RESET ALL;
CLOSE ALL; UNLISTEN *; DEALLOCATE ALL; DISCARD PLANS; DISCARD TEMP; DISCARD SEQUENCES;

-- save_path --
-- Keep the search_path of a script outside of a transaction, then pin ours.
SELECT pg_catalog.set_config('schema_operator.search_path', pg_catalog.current_setting('search_path'), false);
SET search_path = pg_catalog, pg_temp;

-- return_path --
SELECT pg_catalog.set_config('search_path', pg_catalog.current_setting('schema_operator.search_path'), false);

-- leave_alone --
-- Give the session's fence back.
SELECT pg_catalog.pg_advisory_unlock({lock_class}, {fence});

-- indexes_of --
-- The indexes of a table.
SELECT i.indexrelid::pg_catalog.int8, c.relname::pg_catalog.text,
       pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), i.indisvalid
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE i.indrelid = pg_catalog.to_regclass(%(table)s::pg_catalog.text);

-- transient_indexes --
-- The indexes that REINDEX CONCURRENTLY makes and drops (PostgreSQL documentation, REINDEX, "Rebuilding Indexes
-- Concurrently"), as far as they are invalid.
SELECT i.indexrelid::pg_catalog.int8, c.relname::pg_catalog.text,
       pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), i.indisvalid
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE NOT i.indisvalid AND c.relname ~ '_cc(new|old)[0-9]*$' AND n.nspname <> 'pg_toast';

-- any_relation --
SELECT pg_catalog.count(pg_catalog.to_regclass(u.name)) > 0 FROM pg_catalog.unnest(%(names)s::pg_catalog.text[]) AS u (name);

-- object_exists --
SELECT CASE %(what)s::pg_catalog.text
       WHEN 'DATABASE' THEN EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = %(name)s::pg_catalog.text)
       WHEN 'TABLESPACE' THEN EXISTS (SELECT FROM pg_catalog.pg_tablespace WHERE spcname = %(name)s::pg_catalog.text)
       ELSE EXISTS (
           SELECT FROM pg_catalog.pg_subscription AS s
           JOIN pg_catalog.pg_database AS d ON d.oid = s.subdbid AND d.datname = pg_catalog.current_database()
           WHERE s.subname = %(name)s::pg_catalog.text) END;

-- is_attached --
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_inherits
    WHERE inhparent = pg_catalog.to_regclass(%(table)s::pg_catalog.text)
      AND inhrelid = pg_catalog.to_regclass(%(partition)s::pg_catalog.text));

-- detach_is_pending --
-- Read as JSON, because the column is there from PostgreSQL 14 on.
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_inherits AS i
    WHERE i.inhparent = pg_catalog.to_regclass(%(table)s::pg_catalog.text)
      AND i.inhrelid = pg_catalog.to_regclass(%(partition)s::pg_catalog.text)
      AND (pg_catalog.to_jsonb(i) ->> 'inhdetachpending')::pg_catalog.bool);

-- standbys --
-- The end of the write-ahead log on disk, and how far each server that follows has replayed it, in bytes. Absent where none
-- follows, or where this role may not see it.
SELECT (w.flushed - '0/0')::int8, coalesce(nullif(r.application_name, ''), r.client_addr::text, r.pid::text),
       (r.replay_lsn - '0/0')::int8
FROM pg_current_wal_flush_lsn() AS w (flushed)
LEFT JOIN pg_stat_replication AS r ON r.state IN ('catchup', 'streaming') AND r.replay_lsn IS NOT NULL;

-- long_transactions --
-- Who keeps vacuum from removing old rows of this database for longer than some seconds, the longest first.
SELECT a.pid, coalesce(a.application_name, ''), a.state,
       EXTRACT(epoch FROM clock_timestamp() - a.xact_start)::float8 AS seconds
FROM pg_stat_activity AS a
WHERE a.datname = current_database() AND a.backend_type = 'client backend'
  AND coalesce(a.backend_xid, a.backend_xmin) IS NOT NULL
  AND a.xact_start < clock_timestamp() - make_interval(secs => %(seconds)s::float8)
UNION ALL
SELECT 0, 'a prepared transaction', NULL, EXTRACT(epoch FROM clock_timestamp() - p.prepared)::float8
FROM pg_prepared_xacts AS p
WHERE p.database = current_database() AND p.prepared < clock_timestamp() - make_interval(secs => %(seconds)s::float8)
ORDER BY seconds DESC;

-- may_see_others --
-- Whether this role sees what other sessions and standbys do.
SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE');
