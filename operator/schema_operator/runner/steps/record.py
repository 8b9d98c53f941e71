"""What is written down about a version that is applied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schema_operator.api.request import TransactionMode
from schema_operator.history.records import AppliedVersion, Change
from schema_operator.runner.plan import as_applied
from schema_operator.scripts.down_steps import down_steps
from schema_operator.scripts.variables import used

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schema_operator.runner.workplace import Workplace
    from schema_operator.scripts.script import Script


def applied_version(work: Workplace, script: Script) -> AppliedVersion:
    """Give a version as the history has it once it is applied."""
    return as_applied(script, work.owner)


def _name(work: Workplace, script: Script) -> str:
    """Name a script as its file is named; one that is written into the resource as its file would be."""
    return f"{script.version}_{script.name}" if work.request.inline and script.name else script.up.file


def _variables(script: Script, declared: Mapping[str, str]) -> dict[str, str]:
    """Give the variables that a version's scripts use."""
    names = frozenset[str]().union(*(used(source.text, declared) for _, source in script.sources)) if declared else ()
    return {name: declared[name] for name in sorted(names)}


def change_of(work: Workplace, script: Script, *, baseline: bool = False) -> Change:
    """Give what is written down for a version that is applied, or recorded without being run (`baseline`)."""
    return Change(
        version=script.version.text,
        rollback=False,
        description=work.request.description or script.description or script.name or None,
        script_name=_name(work, script),
        checksum=script.up.checksum,
        up=script.up.text,
        down=script.down.text if script.down else None,
        down_name=script.down.file if script.down else None,
        verify=script.verify.text if script.verify else None,
        baseline=baseline,
        requires=(*script.requires, *work.request.requires.versions),
        variables=_variables(script, work.request.variables),
        down_transaction=script.down.transaction if script.down else TransactionMode.AUTO,
        down_steps=down_steps(script.down, work.request.variables) if script.down else None,
    )
