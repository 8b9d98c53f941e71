"""The bad inputs, by where they are found. Columns are the server's: it points at a token where it can."""

from __future__ import annotations

import hashlib

from support.bad_inputs import APPLIED, NUMBER, SECRET, Bad, failing, refused

EDITED = APPLIED["1.0.0_first.up.sql"] + "SELECT 1;\n"
COLUMNS = ", ".join(f"c{number} int" for number in range(1601))

BEFORE_CONNECTING = {
    "an empty source": Bad(reason="EmptySource", says=("no script", "README.md"), files={"README.md": "x"}, whole=True),
    "an empty source and version 0": Bad(
        reason="EmptySource", says=("no script",), arguments=("--version", "0"), whole=True
    ),
    "a malformed wanted version": Bad(reason="MalformedVersion", says=("latest",), arguments=("--version", "latest")),
    "a malformed version in a name": Bad(
        reason="MalformedVersion", says=("one_x.up.sql",), files={"one_x.up.sql": "SELECT 1;"}, whole=True
    ),
    "a down script alone": Bad(
        reason="MissingUpScript", says=("2_x.down.sql", "remove this one"), files={"2_x.down.sql": "SELECT 1;"}
    ),
    "a name that is nearly a script's": Bad(
        reason="UnrecognizedScript", says=("2_x.verfy.sql",), files={"2_x.verfy.sql": "SELECT 1;"}
    ),
    "a version twice": Bad(
        row=4,
        reason="DuplicateVersion",
        says=("2_a.up.sql", "2_b.up.sql", "another version"),
        files={"2_a.up.sql": "SELECT 1", "2_b.up.sql": "SELECT 1"},
        blames="2_b.up.sql",
    ),
    "a version written in two ways": Bad(
        row=4,
        reason="DuplicateVersion",
        says=("2_a.up.sql", "2.0_b.up.sql", "same version"),
        files={"2_a.up.sql": "SELECT 1", "2.0_b.up.sql": "SELECT 1"},
        blames="2_a.up.sql",
    ),
    "an unknown option of the connection": Bad(
        row=11,
        reason="InvalidConnection",
        says=("'sslmood'", "correct or remove"),
        uri="postgresql://a:{canary}@127.0.0.1:1/b?sslmood=x",
    ),
    "a password that is not encoded": Bad(
        row=11, reason="InvalidConnection", says=("percent-encoded", "%40"), uri="postgresql://a:{plain}@127.0.0.1:1/b"
    ),
    "no URI at all": Bad(row=11, reason="InvalidConnection", says=("postgresql://user:password@host",), uri="{plain}"),
    "a port that is none": Bad(
        row=11, reason="InvalidConnection", says=("port", "65535"), uri="host=127.0.0.1 port={plain} user=a"
    ),
    "a timeout that is none": Bad(
        row=11,
        reason="InvalidConnection",
        says=("connect_timeout", "seconds"),
        uri="postgresql://a:{canary}@127.0.0.1:1/b?connect_timeout=soon",
    ),
    "a quote that is never closed": refused(
        20, f"SELECT 1;\nSELECT  '{SECRET};\nSELECT 2;", "SyntaxError", "never closed", at=(None, 2, 9)
    ),
    "a dollar quote that is never closed": refused(
        20, f"DO $body$ SELECT '{SECRET}'; $bod$;", "SyntaxError", "never closed", at=(None, 1, 4)
    ),
    "a comment that is never closed": refused(
        20, "SELECT 1;\n/* /* */ SELECT 2;", "SyntaxError", "never closed", at=(None, 2, 1)
    ),
    "a file of psql": refused(21, "SELECT 1;\n\\i other.sql\n", "MetaCommandNotSupported", "\\i", at=(None, 2, 1)),
    "a copy of psql": refused(21, "\\copy a from b\n", "MetaCommandNotSupported", "\\copy", at=(None, 1, 1)),
    "another connection of psql": refused(21, "\\c other\n", "MetaCommandNotSupported", "\\c", at=(None, 1, 1)),
    "a program of the server": refused(
        23, f"COPY item FROM PROGRAM 'echo {SECRET}';", "ForbiddenStatement", "PROGRAM", "must not"
    ),
    "a file of the server": refused(23, f"COPY item TO '/tmp/{SECRET}';", "ForbiddenStatement", "file", "must not"),
    "a commit alone": refused(24, "SELECT 1;\n  COMMIT;", "TransactionControl", "COMMIT", at=(2, 2, 3)),
    "a rollback alone": refused(24, "SELECT 1;\nROLLBACK;", "TransactionControl", "ROLLBACK", at=(2, 2, 1)),
    "a transaction to be prepared": refused(
        24, f"PREPARE TRANSACTION '{SECRET}';", "TransactionControl", "PREPARE TRANSACTION"
    ),
    "a vacuum where one transaction is wanted": refused(
        25,
        "-- schema-operator: transaction=required\nSELECT 1;\nVACUUM item;",
        "NeedsNoTransaction",
        "VACUUM",
        at=(2, 3, 1),
    ),
    "a concurrent index where one transaction is wanted": refused(
        25,
        "-- schema-operator: transaction=required\nCREATE INDEX CONCURRENTLY ON item (id);",
        "NeedsNoTransaction",
        "CREATE INDEX CONCURRENTLY",
        at=(1, 2, 1),
    ),
    "two blocks where one transaction is wanted": refused(
        26,
        "-- schema-operator: transaction=required\nBEGIN;\nSELECT 1;\nCOMMIT;\nSELECT 2;",
        "SplitRequired",
        "commits 2 times",
        "split it here",
        at=(4, 5, 1),
    ),
    "a variable without a value": refused(
        48,
        "SELECT 1;\nSELECT 1, :'missing';",
        "PlaceholderError",
        "value is declared for missing",
        "--var missing=VALUE",
        at=(2, 2, 11),
    ),
    "a value that is no number": Bad(
        row=48,
        reason="PlaceholderError",
        says=("price",),
        files={"2_bad.up.sql": "SELECT 1, :price;"},
        blames="2_bad.up.sql",
        statement=1,
        line=1,
        column=11,
        arguments=("--var", f"price={SECRET}'; DROP TABLE item"),
    ),
    "a NUL": refused(27, b"SELECT 1;\nSELECT 2\0;", "InvalidEncoding", "offset 18", "NUL", at=(None, 2, None)),
    "not UTF-8": refused(
        28, b"SELECT 1;\nSELECT '\xe4';", "InvalidEncoding", "offset 18", "save the file as UTF-8", at=(None, 2, None)
    ),
    "UTF-16": refused(
        28, "SELECT 1;".encode("utf-16"), "InvalidEncoding", "UTF-16", "save the file as UTF-8", at=(None, 1, None)
    ),
}

IN_THE_HISTORY = {
    # What can be acknowledged is asked of pending scripts only, so the history is read first.
    "an empty script": refused(3, "", "EmptyMigration", "no statement", "allow=EmptyScript", at=(None, None, None)),
    "only comments": refused(3, "-- soon\n/* later */;\n", "EmptyMigration", "no statement", at=(None, None, None)),
    "rows for the client to send": refused(
        22, f"SELECT 1;\nCOPY item FROM STDIN;\n1\t{SECRET}\n\\.\n", "CopyNotSupported", "INSERT", at=(2, 2, 1)
    ),
    "a version that is neither a script nor applied": Bad(
        reason="UnknownVersion", says=("1.5", "1.0.0", "1.2.0"), arguments=("--version", "1.5")
    ),
    "a version below the highest applied": Bad(
        row=5,
        reason="OutOfOrder",
        says=("1.1.0", "1.2.0", "--out-of-order Allow"),
        files={"1.1.0_late.up.sql": "CREATE TABLE late ();"},
        blames="1.1.0_late.up.sql",
    ),
    "an edited script": Bad(
        row=8,
        reason="ChecksumMismatch",
        says=(
            "line 3",
            hashlib.sha256(APPLIED["1.0.0_first.up.sql"].encode()).hexdigest(),
            hashlib.sha256(EDITED.encode()).hexdigest(),
            "put the old text back",
        ),
        files={"1.0.0_first.up.sql": EDITED},
        blames="1.0.0_first.up.sql",
        line=3,
    ),
    "a required version that is not there": Bad(
        row=6,
        reason="MissingDependency",
        says=("requires 1.9.0", "1.9.0"),
        files={"2_bad.up.sql": "-- schema-operator: requires=1.9.0\nSELECT 1;"},
        blames="2_bad.up.sql",
    ),
    "versions that require each other": Bad(
        row=7,
        reason="DependencyCycle",
        says=("2 requires 3, 3 requires 2", "take one of the requirements away"),
        files={
            "2_bad.up.sql": "-- schema-operator: requires=3\nSELECT 1;",
            "3_bad.up.sql": "-- schema-operator: requires=2\nSELECT 1;",
        },
        blames="2_bad.up.sql",
    ),
    "a word too many": refused(
        19, "SELECT 1;\nCREATE TABEL x (id int);", "SyntaxError", "TABEL", "correct", at=(2, 2, 8)
    ),
    "a string too many": refused(19, f"SELECT 'a' '{SECRET}'", "SyntaxError", "correct", at=(1, 1, 12)),
    "a number too many": refused(19, f"SELECT 1 {NUMBER}", "SyntaxError", "correct", at=(1, 1, 10)),
    "a new enum value used at once": refused(
        37,
        f"ALTER TYPE mood ADD VALUE '{SECRET}';\nINSERT INTO feeling VALUES ('{SECRET}'::mood);",
        "EnumValueNotUsable",
        "next version",
        at=(2, 2, 1),
    ),
    "a name the server would cut": refused(
        40, f"CREATE TABLE {'a' * 64} ();", "IdentifierTruncated", "64 bytes", "a shorter name"
    ),
    "another isolation level": refused(
        46,
        "SELECT 1;\nSET TRANSACTION ISOLATION LEVEL SERIALIZABLE;",
        "SessionStateChange",
        "remove the statement",
        at=(2, 2, 1),
    ),
    "a lock of ours": refused(46, "SELECT pg_advisory_lock(1936683108, 1);", "SessionStateChange", "another number"),
    "a change of the history": refused(
        47,
        f"DELETE FROM schema_operator.schema_versions WHERE version = '{SECRET}';",
        "ForbiddenStatement",
        "schema_operator",
        "remove the statement",
    ),
    "a change of the history on the way back": Bad(
        row=47,
        reason="ForbiddenStatement",
        says=("holds the history", "remove the statement"),
        files={"2_x.up.sql": "SELECT 1", "2_x.down.sql": "DELETE FROM schema_operator.schema_versions"},
        blames="2_x.down.sql",
        statement=1,
        line=1,
        column=1,
    ),
    "a rollback of what cannot be rolled back": Bad(
        row=44, reason="NotReversible", says=("1.2.0", "new version"), arguments=("--version", "1.0.0")
    ),
}

BY_THE_SERVER = {
    # 19: what the server cannot read, where no grammar of ours looks: in bodies, in what is computed
    "a string too many in a body": failing(
        19,
        f"SELECT 1;\nCREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM 'a' '{SECRET}'; END $$",
        "SyntaxError",
        "42601",
        'near "…"',
        "correct",
        at=(2, 2, 75),
    ),
    "a number too many in a body": failing(
        19,
        f"CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM 1 {NUMBER}; END $$",
        "SyntaxError",
        "42601",
        'near "…"',
        at=(1, 1, 73),
    ),
    "an apostrophe in a body": failing(
        19,
        f"CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM 'it'{SECRET}''; END $$",
        "SyntaxError",
        "42601",
        'near "…"',
        at=(1, 1, 81),
    ),
    "a condition of the grammar": failing(
        19, "INSERT INTO item (id) VALUES (1, 2)", "SyntaxError", "42601", "more expressions", at=(1, 1, 34)
    ),
    "a body that is wrong": failing(
        19,
        f"CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$\nBEGIN\n  SELEC '{SECRET}';\nEND $$",
        "SyntaxError",
        "42601",
        '"SELEC"',
        at=(1, 3, 3),
    ),
    "a wrong search expression": failing(
        19, f"SELECT '{SECRET} (('::tsquery", "SyntaxError", "42601", "syntax error", at=(1, 1, 8)
    ),
    # 30: what is not there
    "no such table": failing(
        30,
        "SELECT * FROM nowhere",
        "ObjectNotFound",
        "42P01",
        "nowhere",
        'search_path in force is "$user", public',
        at=(1, 1, 15),
    ),
    "a table in another schema": failing(
        30, "SELECT * FROM elsewhere", "ObjectNotFound", "42P01", "there is one of this name in app", at=(1, 1, 15)
    ),
    "a search_path the script sets": failing(
        30,
        "SET LOCAL search_path = app, Public;\nSELECT * FROM nowhere",
        "ObjectNotFound",
        "42P01",
        "in force is app, public",
        at=(2, 2, 15),
    ),
    "a search_path as pg_dump sets it": failing(
        30,
        "SELECT pg_catalog.set_config('search_path', '', false);\nSELECT * FROM item",
        "ObjectNotFound",
        "42P01",
        "in force is empty, and there is one of this name in public",
        at=(2, 2, 15),
    ),
    "no such column": failing(
        30,
        "SELECT 1;\nALTER TABLE item DROP COLUMN nothing",
        "ObjectNotFound",
        "42703",
        "nothing",
        "search_path",
        at=(2, 2, 1),
    ),
    "no such type": failing(
        30, "CREATE TABLE x (id nothing)", "ObjectNotFound", "42704", "nothing", "search_path", at=(1, 1, 20)
    ),
    "no such function": failing(
        30, f"SELECT nothing('{SECRET}')", "ObjectNotFound", "42883", "nothing(unknown)", at=(1, 1, 8)
    ),
    "no such schema": failing(30, "CREATE TABLE nothing.x ()", "ObjectNotFound", "3F000", "nothing", at=(1, 1, 14)),
    "no such role": failing(30, "GRANT SELECT ON item TO nobody_here", "ObjectNotFound", "42704", "nobody_here"),
    "no such role to become": failing(30, "SET LOCAL ROLE nobody_here", "ObjectNotFound", "22023", "nobody_here"),
    # 31: what is there already
    "a table that exists": failing(
        31,
        "CREATE TABLE item (id int)",
        "AlreadyExists",
        "42P07",
        '"item"',
        "outside these scripts",
        "baseline",
        "IF NOT EXISTS",
    ),
    "a column that exists": failing(
        31, "ALTER TABLE item ADD COLUMN name text", "AlreadyExists", "42701", '"name"', "baseline"
    ),
    "a type that exists": failing(
        31, f"CREATE TYPE mood AS ENUM ('{SECRET}')", "AlreadyExists", "42710", '"mood"', "baseline"
    ),
    "a function that exists": failing(
        31, "CREATE FUNCTION hidden() RETURNS int LANGUAGE sql AS 'SELECT 2'", "AlreadyExists", "42723", "hidden"
    ),
    "a schema that exists": failing(31, "CREATE SCHEMA app", "AlreadyExists", "42P06", '"app"'),
    # 32: rows that are in the way
    "rows without a value": failing(
        32,
        'ALTER TABLE item ALTER COLUMN "Net Weight" SET NOT NULL',
        "DataViolation",
        "23502",
        'count them with: SELECT count(*) FROM public.item WHERE "Net Weight" IS NULL',
    ),
    "rows that break a condition on literals": failing(
        32,
        f"ALTER TABLE item ADD CONSTRAINT named CHECK (name <> '{SECRET}' AND code < 5)",
        "DataViolation",
        "23514",
        "count them with: SELECT count(*) FROM public.item WHERE NOT (name <> … AND code < …)",
    ),
    "rows that break a condition on names": failing(
        32,
        'ALTER TABLE item ADD CONSTRAINT light CHECK ("Net Weight" > code)',
        "DataViolation",
        "23514",
        'count them with: SELECT count(*) FROM public.item WHERE NOT ("Net Weight" > code)',
    ),
    "rows that point to nothing": failing(
        32,
        'ALTER TABLE "order" ADD CONSTRAINT of_item FOREIGN KEY (item_id) REFERENCES item',
        "DataViolation",
        "23503",
        "of_item",
        'count them with: SELECT count(*) FROM public."order" AS r WHERE r.item_id IS NOT NULL AND NOT EXISTS '
        "(SELECT FROM item AS k WHERE k.id = r.item_id)",
    ),
    "rows that are not unique": failing(
        32,
        "ALTER TABLE item ADD CONSTRAINT one_code UNIQUE (code)",
        "DataViolation",
        "23505",
        "one_code",
        "occur more than once with: SELECT count(*) FROM (SELECT code FROM public.item WHERE code IS NOT NULL "
        "GROUP BY code HAVING count(*) > 1) AS twins",
    ),
    "rows that are not unique in an index": failing(
        32,
        "CREATE UNIQUE INDEX one_name ON item (name, code)",
        "DataViolation",
        "23505",
        "one_name",
        "GROUP BY name, code",
    ),
    "rows that are not unique in an expression": failing(
        32,
        f"CREATE UNIQUE INDEX one_expression ON item ((name || '{SECRET}'))",
        "DataViolation",
        "23505",
        "one_expression",
        "GROUP BY …",
    ),
    "rows that exclude each other": failing(
        32,
        "ALTER TABLE spans ADD CONSTRAINT apart EXCLUDE USING gist (span WITH &&)",
        "DataViolation",
        "23P01",
        "apart",
        "public.spans",
    ),
    "a new row without a value": failing(
        32, f"INSERT INTO item VALUES (NULL, 1, '{SECRET}')", "DataViolation", "23502", '"id"', "DEFAULT"
    ),
    "a new row that is there already": failing(
        32, f"INSERT INTO item VALUES (1, 1, '{SECRET}')", "DataViolation", "23505", "item_pkey", "ON CONFLICT"
    ),
    "a new row no partition takes": failing(
        32, f"INSERT INTO parted VALUES (1, '{SECRET}')", "DataViolation", "23514", '"parted"', "partition"
    ),
    "a value its domain refuses": failing(32, f"SELECT '{SECRET}'::code", "DataViolation", "23514", "code_check"),
    "a value that is no number": failing(
        None,
        "SELECT 1;\nALTER TABLE item ALTER COLUMN name TYPE int USING name::int",
        "DependentObjects",
        "0A000",
        "item_names",
        at=(2, 2, 1),
    ),
    "a row that is no number": failing(
        None,
        'ALTER TABLE "order" ALTER COLUMN note TYPE int USING note::int',
        "DataViolation",
        "22P02",
        "for type integer: …",
    ),
    "a literal that is no date": failing(
        None, f"SELECT '{SECRET}'::date", "DataViolation", "22007", "for type date: …", at=(1, 1, 8)
    ),
    "a literal that is no enum value": failing(
        None, f"SELECT '{SECRET}'::mood", "DataViolation", "22P02", "enum mood: …", at=(1, 1, 8)
    ),
    "a number that is too large": failing(
        None, f"SELECT '{NUMBER}{NUMBER}'::int", "DataViolation", "22003", "out of range for type integer", at=(1, 1, 8)
    ),
    "a text that is too long": failing(
        None,
        'ALTER TABLE "order" ALTER COLUMN note TYPE varchar(3) USING note::text',
        "DataViolation",
        "22001",
        "varying(3)",
    ),
    "a setting that is none": failing(
        None, f"SET LOCAL work_mem = '{SECRET}'", "StatementFailed", "22023", '"work_mem": …'
    ),
    "a storage option that is none": failing(
        None, f"ALTER TABLE item SET (fillfactor = '{SECRET}')", "StatementFailed", "22023", '"fillfactor": …'
    ),
    "a JSON that is none": failing(
        None, f"SELECT '{{{SECRET}}}'::json", "DataViolation", "22P02", "for type json", at=(1, 1, 8)
    ),
    "a key that is not in a JSON": failing(
        None, f"SELECT jsonb_path_query('{{}}', 'strict $.{SECRET}')", "DataViolation", "2203A", "member not found"
    ),
    "bytes that are no text": failing(
        None, "SELECT convert_from('\\xe4', 'UTF8')", "DataViolation", "22021", 'encoding "UTF8": …'
    ),
    # 33 to 36
    "a foreign key to what is not unique": failing(
        33,
        'ALTER TABLE "order" ADD FOREIGN KEY (item_id) REFERENCES public.item (code)',
        "InvalidForeignKey",
        "42830",
        "ALTER TABLE public.item ADD UNIQUE (code)",
    ),
    "a foreign key to a table without a key": failing(
        33,
        'CREATE TABLE line (of int REFERENCES "order")',
        "InvalidForeignKey",
        "42704",
        'ALTER TABLE "order" ADD PRIMARY KEY',
    ),
    "a drop with dependants": failing(
        34, "DROP TABLE used", "DependentObjects", "2BP01", "view use_00, ", "view use_09 and 3 more", "make it anew"
    ),
    "a dropped column with dependants": failing(
        34,
        "ALTER TABLE item DROP COLUMN name",
        "DependentObjects",
        "2BP01",
        "view item_names",
        "view item_list",
        "materialized view item_counts",
    ),
    "another type of a column that views use": failing(
        35,
        "ALTER TABLE item ALTER COLUMN name TYPE varchar(9)",
        "DependentObjects",
        "0A000",
        "materialized view item_counts, view item_names",
    ),
    "another type of a generated column's": failing(
        35,
        "ALTER TABLE made ALTER COLUMN x TYPE bigint",
        "DependentObjects",
        "0A000 or 42601",
        "generated column twice",
    ),
    "a cast that is not automatic": failing(
        36,
        'ALTER TABLE "order" ALTER COLUMN note TYPE int',
        "DatatypeMismatch",
        "42804",
        "USING note::integer",
    ),
    "a cast that there is none of": failing(36, "SELECT 1::xml", "DatatypeMismatch", "42846", "USING", at=(1, 1, 9)),
    # 37, where no grammar of ours looks
    "a new enum value used at once in a block": failing(
        37,
        f"ALTER TYPE mood ADD VALUE '{SECRET}';\nDO $$ BEGIN PERFORM '{SECRET}'::mood; END $$",
        "EnumValueNotUsable",
        "55P04",
        "enum type mood",
        "next version",
        at=(2, 2, 1),
    ),
    # 38
    "no right on a table": failing(
        38,
        f"INSERT INTO item VALUES (9, 9, '{SECRET}')",
        "PermissionDenied",
        "42501",
        "GRANT INSERT ON TABLE public.item TO {limited}",
        limited=True,
    ),
    "no right on a table that is read": failing(
        38,
        "SELECT 1;\nSELECT * FROM item",
        "PermissionDenied",
        "42501",
        "GRANT SELECT ON TABLE public.item TO {limited}",
        at=(2, 2, 1),
        limited=True,
    ),
    "no right on a schema": failing(
        38,
        "SELECT * FROM app.elsewhere",
        "PermissionDenied",
        "42501",
        "GRANT USAGE ON SCHEMA app TO {limited}",
        at=(1, 1, 15),
        limited=True,
    ),
    "no right to make a table": failing(
        38,
        "CREATE TABLE app.x ()",
        "PermissionDenied",
        "42501",
        "GRANT USAGE, CREATE ON SCHEMA app TO {limited}",
        at=(1, 1, 14),
        limited=True,
    ),
    "no right to make a schema": failing(
        38,
        "CREATE SCHEMA x",
        "PermissionDenied",
        "42501",
        "GRANT CREATE ON DATABASE {database} TO {limited}",
        limited=True,
    ),
    "no right on a sequence": failing(
        38,
        "SELECT nextval('ids')",
        "PermissionDenied",
        "42501",
        "GRANT USAGE, SELECT ON SEQUENCE public.ids TO {limited}",
        limited=True,
    ),
    "no right on a function": failing(
        38,
        "SELECT hidden()",
        "PermissionDenied",
        "42501",
        "GRANT EXECUTE ON FUNCTION public.hidden TO {limited}",
        limited=True,
    ),
    "not the owner": failing(
        38,
        "ALTER TABLE item ADD COLUMN x int",
        "PermissionDenied",
        "42501",
        "only {owner}, the owner of the table public.item",
        "GRANT {owner} TO {limited}",
        limited=True,
    ),
    "no right to make roles": failing(
        38,
        f"CREATE ROLE x PASSWORD '{SECRET}'",
        "PermissionDenied",
        "42501",
        "ALTER ROLE {limited} CREATEROLE",
        limited=True,
    ),
    "no member of a role": failing(
        38, "SET LOCAL ROLE postgres", "PermissionDenied", "42501", "GRANT postgres TO {limited}", limited=True
    ),
    "no right to an extension": failing(
        38,
        "CREATE EXTENSION pgcrypto",
        "PermissionDenied",
        "42501",
        "GRANT CREATE ON DATABASE {database} TO {limited}",
        limited=True,
    ),
    "no right to a setting": failing(
        38,
        "SET LOCAL log_statement = 'all'",
        "PermissionDenied",
        "42501",
        "only a superuser may set log_statement",
        limited=True,
    ),
    # 39, 41
    "an extension that is not there": failing(
        39,
        "CREATE EXTENSION no_such_extension",
        "ExtensionNotAvailable",
        "0A000 or 58P01",
        "the extension no_such_extension",
    ),
    "too many columns": failing(41, f"CREATE TABLE x ({COLUMNS})", "LimitExceeded", "54011", "1600", "split"),
    # and what else people get wrong
    "a value for a generated column": failing(
        None, f"INSERT INTO made (x, id) VALUES (1, {NUMBER})", "StatementFailed", "428C9", '"id"', "DEFAULT"
    ),
    "a view dropped as a table": failing(
        None, "DROP TABLE item_list", "StatementFailed", "42809", "not a table", "DROP VIEW"
    ),
    "an index on what changes": failing(
        None, "CREATE INDEX ON item ((name || now()::text))", "StatementFailed", "42P17", "IMMUTABLE"
    ),
    "a second primary key": failing(
        None, "ALTER TABLE item ADD PRIMARY KEY (code)", "StatementFailed", "42P16", '"item"'
    ),
    "a conflict on what is not unique": failing(
        None,
        f"INSERT INTO item VALUES (1, 1, '{SECRET}') ON CONFLICT (code) DO NOTHING",
        "StatementFailed",
        "42P10",
        "ON CONFLICT",
    ),
    "a division by zero": failing(None, f"SELECT {NUMBER} / 0", "DataViolation", "22012", "division by zero", "NULLIF"),
    "a limit of its own": failing(
        None,
        "SET LOCAL statement_timeout = 50;\nSELECT pg_sleep(5)",
        "StatementTimeout",
        "57014",
        "sets a statement_timeout",
        at=(2, 2, 1),
    ),
    "a cancellation": failing(
        None,
        "SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(5)",
        "StatementTimeout",
        "57014",
        "somebody cancelled",
    ),
    "a commit in what is called": failing(
        None, "SELECT 1;\nCALL commits()", "TransactionControl", "2D000", "transaction=never", at=(2, 2, 1)
    ),
    "a library that is not there": failing(
        None, f"LOAD '{SECRET}'", "StatementFailed", "58P01", "could not access file …"
    ),
    # what functions raise
    "an author's own words": failing(
        None,
        "DO $$ BEGIN\n  RAISE EXCEPTION 'it''s 100%% too early: % rows', 4;\nEND $$",
        "StatementFailed",
        "P0001",
        "it's 100% too early: … rows",
        "on purpose",
    ),
    "words with a value": failing(
        None,
        f"DO $$ BEGIN RAISE EXCEPTION 'no %', '{SECRET}' USING DETAIL = '{SECRET}'; END $$",
        "StatementFailed",
        "P0001",
        "the DO block",
        "log of the server",
    ),
    "a trigger that names the row": failing(
        None, f"INSERT INTO guarded VALUES ('{SECRET}')", "StatementFailed", "P0001", "the name … is taken"
    ),
    "a trigger that says the row under another SQLSTATE": failing(
        None,
        f"INSERT INTO guarded_bluntly VALUES ('{SECRET}')",
        "ObjectNotFound",
        "42P01",
        "the function refuse_bluntly()",
        "line 3",
        "log of the server",
    ),
    "a raised violation with a forged detail": failing(
        None,
        f"DO $$ BEGIN RAISE unique_violation USING MESSAGE = '{SECRET}' || 1, DETAIL = 'Key ({SECRET})=(1)', "
        f"CONSTRAINT = '{SECRET}'; END $$",
        "DataViolation",
        "23505",
        "the DO block",
    ),
    "an assertion": failing(
        None, f"DO $$ BEGIN ASSERT false, '{SECRET}' || 1; END $$", "StatementFailed", "P0004", "the DO block"
    ),
}

BY_THE_CONNECTION = {
    "a wrong password": Bad(
        row=12,
        reason="AuthFailed",
        says=("user {limited}", "127.0.0.1:{port}", "check user and password"),
        uri="postgresql://{limited}:no-{canary}@127.0.0.1:{port}/{database}",
    ),
    "an unknown user": Bad(
        row=12,
        reason="AuthFailed",
        says=("user nobody-here", "127.0.0.1:{port}"),
        uri="postgresql://nobody-here:{canary}@127.0.0.1:{port}/{database}",
    ),
    "no such database": Bad(
        row=13,
        reason="DatabaseNotFound",
        says=("no database nowhere", "create it"),
        uri="postgresql://{limited}:{canary}@127.0.0.1:{port}/nowhere",
    ),
    "nobody listens": Bad(
        row=14,
        reason="Unreachable",
        code=10,
        says=("127.0.0.1:1", "nothing listens"),
        uri="postgresql://{limited}:{canary}@127.0.0.1:1/{database}",
    ),
    "an unknown host": Bad(
        row=14,
        reason="Unreachable",
        code=10,
        says=("host.invalid:1", "check host"),
        uri="postgresql://{limited}:{canary}@host.invalid:1/{database}",
    ),
    "TLS is wanted and not offered": Bad(
        row=15,
        reason="TlsFailed",
        says=("127.0.0.1:{port}", "it offers none", "never tried without TLS"),
        uri="postgresql://{limited}:{canary}@127.0.0.1:{port}/{database}?sslmode=require",
    ),
    "a read-only database": Bad(
        row=16,
        reason="NotPrimary",
        code=10,
        says=("127.0.0.1:{port}", "name the primary"),
        uri="postgresql://{limited}:{canary}@127.0.0.1:{port}/{database}?options=-c%20default_transaction_read_only%3Don",
    ),
}
