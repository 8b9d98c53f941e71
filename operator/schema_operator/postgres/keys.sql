-- Going through a table by a column. Format as in queries.sql; all but `tables` run with the search_path pinned.

-- tables --
-- Find the table of the batches and the one whose rows a statement changes, under the script's search_path.
SELECT pg_catalog.to_regclass(%(table)s)::pg_catalog.oid::pg_catalog.int8,
       pg_catalog.to_regclass(%(target)s)::pg_catalog.oid::pg_catalog.int8;

-- column --
-- What a column is: its table's schema, name and kind, whether others inherit from the table, then, absent where there is
-- no such column, its type (oid, name, schema), whether it is never null, and the schema of the operators of a whole index that begins with it
-- and is in its order, as ORDER BY would use it.
SELECT n.nspname::text, c.relname::text, c.relkind::text,
       c.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits AS h WHERE h.inhparent = c.oid),
       a.atttypid::int8, y.typname::text, (SELECT q.nspname::text FROM pg_namespace AS q WHERE q.oid = y.typnamespace),
       a.attnotnull AND NOT EXISTS (
           SELECT FROM pg_constraint AS k
           WHERE k.conrelid = c.oid AND k.contype = 'n' AND k.conkey = ARRAY[a.attnum] AND NOT k.convalidated),
       (SELECT p.nspname::text
        FROM pg_index AS i
        JOIN pg_class AS x ON x.oid = i.indexrelid
        JOIN pg_am AS m ON m.oid = x.relam AND m.amname = 'btree'
        JOIN pg_opclass AS o ON o.oid = i.indclass[0] AND o.opcdefault
        JOIN pg_amop AS s ON s.amopfamily = o.opcfamily AND s.amoplefttype = o.opcintype
                         AND s.amoprighttype = o.opcintype AND s.amopstrategy = 5
        JOIN pg_operator AS g ON g.oid = s.amopopr AND g.oprname = '>'
        JOIN pg_namespace AS p ON p.oid = g.oprnamespace
        WHERE i.indrelid = c.oid AND i.indkey[0] = a.attnum AND i.indisvalid AND i.indpred IS NULL
          AND i.indcollation[0] = a.attcollation
        LIMIT 1)
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = %(column)s AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_type AS y ON y.oid = a.atttypid
WHERE c.oid = %(table)s::int8::oid;

-- plain_text --
-- Keys as text that means the same whatever the settings of the session that reads them.
SELECT set_config('DateStyle', 'ISO, YMD', true), set_config('IntervalStyle', 'postgres', true),
       set_config('extra_float_digits', '3', true), set_config('TimeZone', 'UTC', true),
       set_config('bytea_output', 'hex', true);

-- ends --
-- The lowest and the highest key; none of an empty table.
SELECT (SELECT format('%s', {key}) FROM {table} ORDER BY {key} LIMIT 1),
       (SELECT format('%s', {key}) FROM {table} ORDER BY {key} DESC LIMIT 1);

-- upto --
-- The key of the last of so many rows above one key and up to another; where there are fewer, how many there are.
SELECT f.upto, CASE WHEN f.upto IS NULL THEN (SELECT count(*) FROM {table} WHERE {range}) END
FROM (SELECT (SELECT format('%%s', {key}) FROM {table} WHERE {range} ORDER BY {key} OFFSET %(before)s::int8 LIMIT 1)
      OFFSET 0) AS f (upto)

-- estimate --
-- How many rows the planner expects there.
EXPLAIN (FORMAT JSON) SELECT FROM {table} WHERE {range};
