"""From `spec.scripts` to a set of scripts, and what can be said against it without a database."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schema_operator.api import request
from schema_operator.api.schema_migration import SchemaMigrationSpec, ScriptSource
from schema_operator.api.target_database import TargetDatabaseStatus
from schema_operator.api.version import NOTHING, Version
from schema_operator.controller import images
from schema_operator.errors import Reason, Refused
from schema_operator.scripts import check, reading
from schema_operator.scripts.pending import check_pending
from schema_operator.scripts.reading import Entry
from schema_operator.scripts.script import ScriptSet
from schema_operator.scripts.units import transactions_of

_MAJOR = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Standing:
    """What the status of a TargetDatabase says of where new scripts would run."""

    server: int
    """Major version of the server."""
    version: Version
    """The highest that is applied, of whomever: what is above it is pending."""


def standing_of(status: TargetDatabaseStatus) -> Standing | None:
    """Read it; None where the database was not seen yet."""
    server = _MAJOR.match(status.server_version or "")
    if server is None or status.version is None:
        return None
    return Standing(int(server[0]), Version.parse(status.version))


@dataclass(frozen=True, slots=True)
class SourceSeen:
    """The digest of the scripts, absent where they cannot be read, and the first thing wrong with them."""

    digest: str | None
    problem: Refused | None


def inline_of(source: ScriptSource) -> tuple[request.InlineScript, ...]:
    """Give the inline scripts as the records a request carries."""
    return tuple(
        request.InlineScript(
            version=item.version,
            name=item.name or "",
            up=item.up,
            down=item.down,
            verify=item.verify,
            transaction=item.transaction,
        )
        for item in source.inline or ()
    )


def config_map_names(source: ScriptSource) -> tuple[str, ...]:
    """Name the ConfigMaps a source refers to."""
    return tuple(item.name for item in source.config_maps or ())


def variables_of(spec: SchemaMigrationSpec) -> dict[str, str]:
    """Give the values of the scripts' variables by name."""
    return {item.name: item.value for item in spec.variables or ()}


def see(
    spec: SchemaMigrationSpec, config_maps: Mapping[str, Mapping[str, Any] | None], standing: Standing | None = None
) -> SourceSeen:
    """Read and check the scripts as a run will; `config_maps` has each object by name, None where there is none.

    Where it is known how the database stands, the scripts that are surely pending are also held against PostgreSQL's
    grammar and the rules of pending scripts. What is in an image only a run can see, which checks the same.
    """
    if spec.scripts.image is not None:
        return SourceSeen(images.digest_of(spec.scripts.image), None)
    try:
        scripts = _read(spec.scripts, config_maps)
    except Refused as problem:
        return SourceSeen(None, _bare(problem))
    try:
        reading.require_not_empty(scripts)
        check.check(scripts, spec.allow or (), variables_of(spec))
        if standing is not None:
            _check_pending(scripts, spec, standing)
    except Refused as problem:
        return SourceSeen(scripts.digest, _bare(problem))
    return SourceSeen(scripts.digest, None)


def _check_pending(scripts: ScriptSet, spec: SchemaMigrationSpec, standing: Standing) -> None:
    last = Version.parse(spec.version) if spec.version else None
    first = max(standing.version, Version.parse(spec.baseline or NOTHING))
    above = [one for one in scripts.scripts if first < one.version and (last is None or one.version <= last)]
    check_pending(above, standing.server, variables_of(spec), transactions_of, spec.allow or ())


def _bare(problem: Refused) -> Refused:
    """Give the same problem without its traceback, which would keep all scripts in memory as long as it is known."""
    return Refused(problem.reason, problem.sentence, problem.location)


def _read(source: ScriptSource, config_maps: Mapping[str, Mapping[str, Any] | None]) -> ScriptSet:
    if source.inline is not None:
        return reading.from_inline(inline_of(source))
    missing = [name for name in config_map_names(source) if config_maps.get(name) is None]
    if missing:
        raise Refused(
            Reason.CONFIG_MAP_NOT_FOUND,
            f"the ConfigMap {', '.join(missing)} named in spec.scripts.configMaps does not exist in this namespace; "
            "create it or correct the name",
        )
    return reading.from_entries(
        entry for name in config_map_names(source) for entry in _entries(name, config_maps[name] or {})
    )


def _entries(name: str, config_map: Mapping[str, Any]) -> list[Entry]:
    text = [Entry(name, key, value.encode()) for key, value in (config_map.get("data") or {}).items()]
    binary = [
        Entry(name, key, _decoded(name, key, value)) for key, value in (config_map.get("binaryData") or {}).items()
    ]
    return text + binary


def _decoded(name: str, key: str, value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise Refused(
            Reason.INVALID_ENCODING, f"binaryData {key} of ConfigMap {name} is not base64; create it anew"
        ) from error
