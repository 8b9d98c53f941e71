-- Forgets how to go back with psql alone. What was rolled back so stays rolled back, and may be applied again at once.

DROP PROCEDURE schema_operator.record_rollback(varchar);
DROP PROCEDURE schema_operator.emergency_rollback(varchar);
DROP FUNCTION schema_operator.roll_back_by_hand(bigint, text);
DROP FUNCTION schema_operator.put_back_by_hand(text);
DROP FUNCTION schema_operator.record_by_hand(text, text, text, text, text, text, text, text, text);
DROP FUNCTION schema_operator.drop_temporary_tables(oid[]);
DROP FUNCTION schema_operator.check_constraints(text);
DROP FUNCTION schema_operator.run_down_steps(text, text, jsonb, text);
DROP FUNCTION schema_operator.archive_before(jsonb, name[], text, text);
DROP FUNCTION schema_operator.require_emergency_possible(text, text);
DROP FUNCTION schema_operator.require_no_open_unit(text);
DROP FUNCTION schema_operator.emergency_versions(text, text);
DROP FUNCTION schema_operator.emergency_owner(text);
DROP FUNCTION schema_operator.applied_list(text);
DROP FUNCTION schema_operator.say(text);
DROP FUNCTION schema_operator.version_key(text);
DROP VIEW schema_operator.held_versions;
DROP TABLE schema_operator.held_seen;
DROP INDEX schema_operator.version_scripts_emergency;

ALTER TABLE schema_operator.version_scripts DROP COLUMN emergency, DROP COLUMN down_steps;

DELETE FROM schema_operator.control_versions WHERE version = '5';
