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
-- Who keeps a backend waiting for a lock, the longest transaction first.
SELECT a.pid, coalesce(nullif(a.application_name, ''), nullif(a.backend_type, 'client backend'), ''), a.state,
       EXTRACT(epoch FROM clock_timestamp() - coalesce(a.xact_start, a.backend_start))::float8
FROM unnest(pg_blocking_pids(%(pid)s::int4)) AS b (pid)
JOIN pg_stat_activity AS a ON a.pid = b.pid
ORDER BY a.xact_start NULLS LAST;

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
BEGIN ISOLATION LEVEL READ COMMITTED {access};
SET SESSION AUTHORIZATION DEFAULT; RESET ALL;
CLOSE ALL; UNLISTEN *; DEALLOCATE ALL; DISCARD PLANS; DISCARD TEMP; DISCARD SEQUENCES;
SELECT pg_catalog.pg_advisory_unlock_all();

-- restore --
-- Become ourselves again in the middle of a transaction, whatever a script has set.
SET SESSION AUTHORIZATION DEFAULT; RESET ALL;

-- limits --
-- Limits of a working session. lock_timeout bounds the stall that our waiting causes others; a statement may take as
-- long as it needs; between statements we are never idle for long, unless the runner hangs. The keepalives are the
-- server's (a lost node is noticed after 5 s + 3 times 2 s). Strings are as the reader of scripts reads them.
SET lock_timeout = '500ms'; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = '30s';
SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3;
SET standard_conforming_strings = on;

-- pin --
-- What our own statements run with.
SET search_path = pg_catalog, pg_temp;

-- unpin --
-- What scripts run with: the search_path of the role and the database.
RESET search_path;

-- fence --
-- Take the fence, then, only then, look whether our guard session still holds its two locks. Gives the transaction's id
-- as well, by which the end of the transaction is told from the end of another.
SELECT f.taken,
       (SELECT count(*) FROM pg_locks AS l
        WHERE f.taken AND l.granted AND l.pid = {guard_pid} AND l.locktype = 'advisory'
          AND (l.classid::int8, l.objid::int8, l.objsubid::int8) IN (
              ({lock_class}, {guard}, 2), ({token_high}, {token_low}, 1))),
       pg_current_xact_id()::text
FROM (SELECT pg_try_advisory_xact_lock({lock_class}, {fence}) AS taken OFFSET 0) AS f;
