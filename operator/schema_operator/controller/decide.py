"""What to do next about one SchemaMigration. Pure: an observation in, a decision out.

A piece of *work* is what is asked for: by the resource, by its target, by the scripts. The runs at the same work are
its attempts. The last recorded run decides:

======================  ====================================================================================
no run at this work     start the first
Done                    Ready
Refused, Failed,        Stalled until the work changes; reasons that lie outside the resource
VerificationFailed,     (`RECHECKED`) are looked at again by a run from time to time
PartlyApplied
Retryable, Killed       next attempt after a wait that doubles; Stalled when the limit is used up
LockHeld, Stopped       next attempt, none counted
Unknown                 ask again until the history can be read; neither applied nor failed
======================  ====================================================================================

A resource that is being deleted starts nothing more, and what works is stopped. Where `spec.deletionPolicy` is
Rollback, what is asked for then is version "0", and the same table decides until that is done.
"""

from __future__ import annotations

from dataclasses import replace

from schema_operator.controller import names
from schema_operator.controller.deciding.decision import Decision
from schema_operator.controller.deciding.finalizers import with_finalizers
from schema_operator.controller.deciding.flight import in_flight
from schema_operator.controller.deciding.harvest import lost, recorded
from schema_operator.controller.deciding.settled import settle
from schema_operator.controller.deciding.work import unrecorded
from schema_operator.controller.observation import Observation


def decide(seen: Observation) -> Decision:
    """Decide the next step for one migration."""
    migration = seen.migration
    if migration.deleting and not set(names.FINALIZERS) & set(migration.finalizers):
        return Decision()
    if migration.undo and seen.around.namespace_ends:
        # Where the namespace goes too, nothing can be created in it any more.
        seen = replace(seen, migration=replace(migration, undo=False))
    return with_finalizers(seen, _next(seen))


def _next(seen: Observation) -> Decision:
    waiting = unrecorded(seen)
    if waiting:
        run = waiting[0]
        return in_flight(seen, run) if run.ended is None else recorded(seen, run, run.ended)
    current = seen.migration.status.current_run
    if current is not None and all(current.name != item.name for item in seen.runs):
        return lost(seen, current)
    return settle(seen, seen.migration.status)
