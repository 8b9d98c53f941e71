"""Writes the pages of docs/reference from what they are about: the states, and the fields of the resources.

`python -m dev.reference` writes them, with `--check` it says whether they are up to date.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from schema_operator.api.schema_migration import State
from schema_operator.controller.states import STATES, TRANSITIONS, Cause, Shape, Transition

CHECKOUT = Path(__file__).parents[1]
PAGES = CHECKOUT / "docs/reference"
MADE = "<!-- Made by `python -m dev.reference`; change the source and make it again. -->"
EVERY = frozenset(STATES)
DRAWN = 3
"""What leads from more states than these is in the table alone, or drawn for the usual ones."""


def states() -> str:
    """Give the page of the states: what each means, how programs see it, and what leads from one to another."""
    return "\n".join(
        [
            "# States",
            "",
            MADE,
            "",
            "`status.state` is one word for people. Programs decide by the conditions, or by what their tool",
            "makes of them:",
            "",
            "| state | meaning | `Ready` | beside it | kstatus (Flux) | Argo CD |",
            "|---|---|---|---|---|---|",
            *(_state_row(state, shape) for state, shape in STATES.items()),
            "",
            "`Reconciling` and `Stalled` are there only while they are True, and never together. What waits for",
            "a person or for a time is neither.",
            "",
            "## What leads from one to another",
            "",
            "What is not here changes nothing: a test goes through every state and every cause.",
            "",
            "| in | when | then |",
            "|---|---|---|",
            *(_transition_row(one) for one in TRANSITIONS),
            "",
            "The usual way, from the first look to the end (the table has the rest):",
            "",
            "```mermaid",
            "stateDiagram-v2",
            "    [*] --> Pending",
            *(f"    {before} --> {one.after}: {_plain(one.cause)}" for one in TRANSITIONS for before in _drawn(one)),
            "```",
            "",
        ]
    )


def _state_row(state: State, shape: Shape) -> str:
    beside = f"`{shape.abnormal}`" if shape.abnormal else ""
    ready = "True" if shape.ready else "False"
    meaning = shape.meaning.replace("](", "](../")
    return f"| `{state}` | {meaning} | {ready} | {beside} | {shape.kstatus} | {shape.health} |"


def _transition_row(one: Transition) -> str:
    missing = EVERY - one.before - {one.after}
    some = ", ".join(f"`{state}`" for state in State if state in one.before)
    before = some if missing else "any"
    return f"| {before} | {one.cause} | `{one.after}` |"


def _drawn(one: Transition) -> list[State]:
    usual = {
        State.PLANNING: [State.PENDING],
        State.AWAITING_APPROVAL: [State.PLANNING],
        State.APPLYING: [State.PLANNING],
        State.ROLLING_BACK: [State.PLANNING],
        State.VERIFYING: [State.APPLYING, State.ROLLING_BACK],
        State.APPLIED: [State.VERIFYING],
        State.ROLLED_BACK: [State.VERIFYING],
    }
    if len(one.before) <= DRAWN:
        return [state for state in State if state in one.before]
    refused = [State.PLANNING, State.APPLYING, State.ROLLING_BACK, State.VERIFYING]
    return refused if one.cause is Cause.REFUSED else usual.get(one.after, [])


def _plain(text: str) -> str:
    return text.replace("`", "").replace(":", ",")


def fields() -> str:
    """Give the page of the fields: each with its type, its default and what it says, from the CRDs."""
    lines = ["# Fields", "", MADE, "", "`kubectl explain` says the same: `kubectl explain sm.spec.scripts`.", ""]
    for path in sorted((CHECKOUT / "crds").glob("*.yaml")):
        names = (found := yaml.safe_load(path.read_text())["spec"])["names"]
        schema = found["versions"][0]["schema"]["openAPIV3Schema"]
        lines += [f"## {names['kind']}", "", _one_line(schema.get("description", "")), ""]
        for part in ("spec", "status"):
            if part in schema["properties"]:
                lines += [f"### {names['kind']} {part}", "", "| field | type | default | |", "|---|---|---|---|"]
                lines += [_field_row(*field) for field in _fields(schema["properties"][part], part)]
                lines += [""]
    return "\n".join(lines)


def _fields(schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any], bool]]:
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        yield f"{path}.{name}", field, name in required
        inner = field.get("items", field)
        yield from _fields(inner, f"{path}.{name}" + ("[]" if "items" in field else ""))


def _field_row(path: str, field: Mapping[str, Any], required: bool) -> str:  # noqa: FBT001 (a column)
    default = "**required**" if required else _default(field)
    rules = "; ".join(rule["message"] for rule in field.get("x-kubernetes-validations", ()))
    text = _one_line(field.get("description", "")) + (f" ({rules})" if rules else "")
    return f"| `{path}` | {_type(field)} | {default} | {text.replace('|', chr(92) + '|')} |"


def _default(field: Mapping[str, Any]) -> str:
    found = field.get("default")
    if found is None or isinstance(found, dict | list):
        return ""
    return f"`{str(found).lower() if isinstance(found, bool) else found}`"


def _type(field: Mapping[str, Any]) -> str:
    if "enum" in field:
        return " \\| ".join(f"`{value}`" for value in field["enum"])
    if "items" in field:
        return f"list of {_type(field['items'])}"
    if field.get("x-kubernetes-int-or-string"):
        return "integer or string"
    if "additionalProperties" in field:
        return f"map to {_type(field['additionalProperties'])}"
    return str(field.get("format") or field.get("type", "any"))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def main(arguments: list[str]) -> int:
    """Write the pages, or compare them; give the exit code."""
    made = {PAGES / "states.md": states(), PAGES / "fields.md": fields()}
    old = [path for path, text in made.items() if not path.exists() or path.read_text() != text]
    if "--check" in arguments:
        for path in old:
            print(f"{path.relative_to(CHECKOUT)} is not up to date; run: python -m dev.reference")
        return 1 if old else 0
    PAGES.mkdir(exist_ok=True)
    for path in old:
        path.write_text(made[path])
        print(path.relative_to(CHECKOUT))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
