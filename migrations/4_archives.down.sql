-- Forgets what was archived. Archives that are still there hold what is nowhere else, so they must be dropped by hand.

DO $$
DECLARE
    kept bigint := (SELECT count(*) FROM schema_operator.available_archives);
BEGIN
    IF kept > 0 THEN
        RAISE EXCEPTION '% archives are still there, and hold what scripts have destroyed', kept
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Drop the tables that schema_operator.available_archives names, if their rows may be lost.';
    END IF;
END
$$;

DROP PROCEDURE schema_operator.recover_data;
DROP FUNCTION
    schema_operator.drop_expired_archives,
    schema_operator.archives_of,
    schema_operator.schemas_of,
    schema_operator.restore_version,
    schema_operator.restorable,
    schema_operator.restore_archive,
    schema_operator.put_back,
    schema_operator.depth_of,
    schema_operator.finish_columns,
    schema_operator.finish_place,
    schema_operator.has_other_keys,
    schema_operator.without_own_values,
    schema_operator.fill,
    schema_operator.move_sequences,
    schema_operator.set_triggers,
    schema_operator.prepare_place,
    schema_operator.own_value,
    schema_operator.match_columns,
    schema_operator.item_of,
    schema_operator.table_of,
    schema_operator.definition_with,
    schema_operator.definition_of,
    schema_operator.keeping_sequences,
    schema_operator.finish_of,
    schema_operator.index_of,
    schema_operator.granting,
    schema_operator.creation_of,
    schema_operator.column_of,
    schema_operator.sequence_options,
    schema_operator.name_of,
    schema_operator.report_archive,
    schema_operator.copying,
    schema_operator.archive,
    schema_operator.foresee_archives,
    schema_operator.say_too_large,
    schema_operator.name_archive,
    schema_operator.judge_archive,
    schema_operator.reached,
    schema_operator.resolve_destroyed,
    schema_operator.owned_by,
    schema_operator.key_of,
    schema_operator.describe_columns,
    schema_operator.constant_default,
    schema_operator.is_comparable,
    schema_operator.is_kept_as_text,
    schema_operator.person,
    schema_operator.take_lock;
DROP VIEW schema_operator.available_archives;
DROP TABLE schema_operator.recovery_conflicts;
DROP TABLE schema_operator.recoveries;
DROP TABLE schema_operator.archives;

DELETE FROM schema_operator.control_versions WHERE version = '4';
