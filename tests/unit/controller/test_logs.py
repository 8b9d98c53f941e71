"""What the controller writes of itself, and what it never writes."""

import asyncio
import json
import logging
from typing import Any

import pytest
from kopf._core.reactor import queueing  # kopf's own lines are the input here

from schema_operator.api.schema_migration import SchemaMigrationSpec
from schema_operator.cli.main import execute
from schema_operator.controller import main, queue
from schema_operator.controller.logs import JsonFormatter, LogFormat, TextFormatter, about, configure
from schema_operator.controller.queue import Key, Queue
from unit.controller.scenes import SPEC

SECRET = "CREATE TABLE canary"


@pytest.fixture
def _as_in_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `configure` change the root logger, and put it back afterwards."""
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", list(root.handlers))
    monkeypatch.setattr(root, "level", root.level)
    for name in ("kopf.objects", "kopf.activities.probe", "aiohttp.access"):
        monkeypatch.setattr(logging.getLogger(name), "level", logging.NOTSET)


def record(message: str, *, error: BaseException | None = None, **extra: Any) -> logging.LogRecord:
    exc = (type(error), error, error.__traceback__) if error is not None else None
    found = logging.LogRecord("schema_operator.test", logging.WARNING, "", 0, message, (), exc)
    vars(found).update(extra)
    return found


def line(found: logging.LogRecord) -> dict[str, Any]:
    return dict(json.loads(JsonFormatter().format(found)))


def caught(error: Exception, cause: Exception | None = None) -> Exception:
    with pytest.raises(type(error)) as found:
        raise error from cause
    return found.value


def test_a_line_says_when_what_and_about_what() -> None:
    with about(namespace="shop", name="orders"), about(generation=3), about(run="orders-1a2b-1"):
        found = line(record("started"))
    assert found.pop("time").endswith("+00:00")
    assert found == {
        "level": "warning",
        "logger": "schema_operator.test",
        "message": "started",
        "namespace": "shop",
        "name": "orders",
        "generation": 3,
        "run": "orders-1a2b-1",
    }
    assert set(line(record("alone"))) == {"time", "level", "logger", "message"}


def test_what_kopf_says_of_an_object_names_the_object() -> None:
    reference = {"apiVersion": "v1", "kind": "Pod", "name": "orders", "uid": "u", "namespace": "shop"}
    found = line(record("handled", k8s_ref=reference))
    assert (found["namespace"], found["name"]) == ("shop", "orders")
    assert "uid" not in found


def test_text_is_for_people() -> None:
    with about(namespace="shop", name="orders", generation=3):
        text = TextFormatter().format(record("started", error=caught(OSError("no route"))))
    first, *rest = text.splitlines()
    assert first.endswith(" WARNING shop/orders generation 3: started")
    assert rest[-1] == "OSError: no route"
    assert TextFormatter().format(record("alone")).endswith(" WARNING: alone")


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_an_exception_that_quotes_what_it_was_given_is_written_without_it(formatter: logging.Formatter) -> None:
    scripts = {"inline": [{"version": "1", "up": SECRET, "down": {"text": SECRET}}]}
    with pytest.raises(ValueError, match=SECRET) as quoting:
        SchemaMigrationSpec.model_validate(SPEC | {"scripts": scripts})
    error = caught(RuntimeError("cannot look"), quoting.value)
    text = formatter.format(record("cannot look", error=error))
    assert SECRET not in text
    for part in ("scripts.inline.0.down", "which led to:", "RuntimeError: cannot look", "test_logs.py"):
        assert part in text


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        (f"Unprocessed streams left for {[('schemamigrations', 'uid')] * 5000!r}.", "stopped before it had heard"),
        (f"Ignoring an unsupported event type: {{'object': '{SECRET}'}}", "unknown type"),
        (f"tasks are left: {'x' * 180_000}", "tasks are left"),
    ],
)
def test_lines_that_hold_whole_objects_are_cut(message: str, wanted: str) -> None:
    found = line(record(message))
    assert wanted in found["message"]
    assert SECRET not in found["message"]
    assert len(found["message"]) <= 2001


@pytest.mark.asyncio
async def test_the_giant_line_of_kopf_is_what_is_filtered(caplog: pytest.LogCaptureFixture) -> None:
    """If another release of kopf words it otherwise, this says so."""
    backlog: asyncio.Queue[Any] = asyncio.Queue()
    stream = queueing.Stream(backlog=backlog, pressure=asyncio.Event())
    streams: Any = {("schemamigrations", str(number)): stream for number in range(1000)}
    scheduler: Any = type("Scheduler", (), {"empty": lambda _: False})()
    settings: Any = type("Settings", (), {"queueing": type("Queueing", (), {"exit_timeout": 0.01})})
    await queueing._wait_for_depletion(
        signaller=asyncio.Condition(), scheduler=scheduler, settings=settings, streams=streams
    )
    (giant,) = caplog.records
    assert len(giant.getMessage()) > 20_000
    assert len(line(giant)["message"]) < 200


@pytest.mark.asyncio
async def test_what_cannot_be_looked_at_is_named() -> None:
    lines: list[dict[str, Any]] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(line(record))

    handler = Kept()
    logging.getLogger(queue.__name__).addHandler(handler)

    async def look(_: Key) -> float | None:
        raise OSError("away")

    asked = Queue(look, pause=0.0)
    try:
        asked.put(("shop", "orders"))
        while not lines:
            await asyncio.sleep(0)
    finally:
        logging.getLogger(queue.__name__).removeHandler(handler)
        await asked.close()
    assert (lines[0]["namespace"], lines[0]["name"]) == ("shop", "orders")
    assert lines[0]["traceback"].endswith("OSError: away")


@pytest.mark.parametrize(("arguments", "wanted"), [([], LogFormat.JSON), (["--log-format=text"], LogFormat.TEXT)])
def test_json_unless_text_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], wanted: LogFormat
) -> None:
    asked: list[LogFormat] = []

    def control(log_format: LogFormat) -> int:
        asked.append(log_format)
        return 0

    monkeypatch.setattr(main, "main", control)
    assert execute(["controller", *arguments]) == 0
    assert asked == [wanted]


@pytest.mark.usefixtures("_as_in_a_cluster")
def test_lines_of_every_logger_are_written_so(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogFormat.JSON)
    logging.getLogger("kopf.activities.startup").info("of kopf")
    logging.getLogger("kopf.activities.probe").info("one a probe")
    logging.getLogger("kopf.objects").info("one a handled event")
    logging.getLogger("schema_operator.x").info("ours")
    written = [json.loads(text) for text in capsys.readouterr().err.splitlines()]
    assert [(one["logger"], one["message"]) for one in written] == [
        ("kopf.activities.startup", "of kopf"),
        ("schema_operator.x", "ours"),
    ]
