"""From `spec.scripts` to a set of scripts, and what can be said against it without a database."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schema_operator.api import request
from schema_operator.api.schema_migration import SchemaMigrationSpec, ScriptSource
from schema_operator.controller import images
from schema_operator.errors import Reason, Refused
from schema_operator.scripts import check, reading
from schema_operator.scripts.reading import Entry
from schema_operator.scripts.script import ScriptSet


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


def see(spec: SchemaMigrationSpec, config_maps: Mapping[str, Mapping[str, Any] | None]) -> SourceSeen:
    """Read and check the scripts as a run will; `config_maps` has each object by name, None where there is none.

    What is in an image only a run can see, which checks the same.
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
    except Refused as problem:
        return SourceSeen(scripts.digest, _bare(problem))
    return SourceSeen(scripts.digest, None)


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
