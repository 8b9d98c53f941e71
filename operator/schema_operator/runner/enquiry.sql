-- What messages about failed statements ask the database, after the rollback.
--
-- Format: a line with the name, lines of description, then the statement. The search_path is whatever it is, so every
-- name of PostgreSQL's is qualified; operators on its own types are found in pg_catalog first, unless a path names it last.

-- search_path --
-- What scripts begin with: the search_path of the role and the database, whatever it was set to since.
SELECT reset_val FROM pg_catalog.pg_settings WHERE name = 'search_path';

-- schemas --
-- Where a relation of a name is.
SELECT n.nspname::pg_catalog.text
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relname = %(name)s AND n.nspname NOT LIKE 'pg\_%%' AND n.nspname <> 'information_schema'
ORDER BY 1 LIMIT 5;

-- current_role --
-- Who scripts run as.
SELECT CURRENT_USER::pg_catalog.text;

-- schema_owner --
-- Who owns a schema.
SELECT pg_catalog.pg_get_userbyid(nspowner)::pg_catalog.text FROM pg_catalog.pg_namespace WHERE nspname = %(name)s;

-- places --
-- In which schema an object of a name and kind is, and who owns it.
SELECT n.nspname::pg_catalog.text, pg_catalog.pg_get_userbyid(o.owner)::pg_catalog.text
FROM (
    SELECT relnamespace, relname, relowner, CASE relkind
        WHEN 'r' THEN 'table' WHEN 'p' THEN 'table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
        WHEN 'f' THEN 'foreign table' WHEN 'S' THEN 'sequence' WHEN 'i' THEN 'index' WHEN 'I' THEN 'index' END
    FROM pg_catalog.pg_class
    UNION ALL
    SELECT pronamespace, proname, proowner, CASE prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END
    FROM pg_catalog.pg_proc
    UNION ALL
    SELECT typnamespace, typname, typowner, CASE typtype WHEN 'd' THEN 'domain' ELSE 'type' END FROM pg_catalog.pg_type
) AS o (namespace, name, owner, kind)
JOIN pg_catalog.pg_namespace AS n ON n.oid = o.namespace
WHERE o.name = %(name)s AND o.kind = %(kind)s
LIMIT 2;

-- primary_key --
-- The columns of a table's primary key, in its order.
SELECT a.attname::pg_catalog.text
FROM pg_catalog.pg_constraint AS c
CROSS JOIN LATERAL unnest(c.conkey) WITH ORDINALITY AS k (number, place)
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = k.number
WHERE c.conrelid = pg_catalog.to_regclass(%(relation)s) AND c.contype = 'p'
ORDER BY k.place;

-- views --
-- The views that use a table directly.
SELECT DISTINCT CASE v.relkind WHEN 'm' THEN 'materialized view' ELSE 'view' END, v.oid::pg_catalog.regclass::pg_catalog.text
FROM pg_catalog.pg_depend AS d
JOIN pg_catalog.pg_rewrite AS r ON r.oid = d.objid
JOIN pg_catalog.pg_class AS v ON v.oid = r.ev_class
WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
  AND d.refobjid = pg_catalog.to_regclass(%(relation)s) AND v.oid <> d.refobjid
ORDER BY 2;

-- routine --
-- The text of a function, by its name and the types of its arguments.
SELECT prosrc FROM pg_catalog.pg_proc WHERE oid = pg_catalog.to_regprocedure(%(routine)s);
