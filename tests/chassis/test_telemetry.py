"""Each case is a program of its own: logging is set up once in the life of a process."""

import asyncio
import json
import sys
from typing import Any

PREAMBLE = """
import asyncio, logging, structlog, warnings
from structlog.contextvars import bind_contextvars
from chassis.telemetry import configure
log = structlog.get_logger()
"""


async def lines_of(program: str) -> list[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PREAMBLE + program,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert (process.returncode, err.decode()) == (0, "")
    return out.decode().splitlines()


async def logged(program: str) -> list[dict[str, Any]]:
    return [json.loads(it) for it in await lines_of(program)]


async def test_a_line_is_one_json_object_with_the_same_keys_whoever_wrote_it() -> None:
    ours, theirs, warning = await logged("""
configure(service="order", level="info", format="json")
bind_contextvars(process_id="prc_1")
log.info("stored", rows=3)
logging.getLogger("alembic").warning("upgraded to %s", "0001")
warnings.warn("old")
""")
    assert {**ours, "timestamp": None} == {
        "timestamp": None,
        "level": "info",
        "event": "stored",
        "service": "order",
        "process_id": "prc_1",
        "rows": 3,
    }
    assert ours["timestamp"].endswith("Z")
    assert {**theirs, "timestamp": None} == {
        "timestamp": None,
        "level": "warning",
        "event": "upgraded to 0001",
        "service": "order",
        "process_id": "prc_1",
    }
    assert "old" in warning["event"]


async def test_what_is_below_the_level_is_not_logged() -> None:
    lines = await logged("""
configure(service="order", level="warning", format="json")
log.info("quiet")
logging.getLogger("alembic").info("quiet")
log.error("loud")
""")
    assert [it["event"] for it in lines] == ["loud"]


async def test_an_exception_is_structured_and_shows_no_variables() -> None:
    ours, theirs = await logged("""
configure(service="order", level="info", format="json")
def fail():
    password = "hunter2"
    raise ValueError("no luck")
try:
    fail()
except ValueError:
    log.exception("failed")
    logging.getLogger("asyncio").exception("failed too")
""")
    for line in (ours, theirs):
        (exception,) = line["exception"]
        assert (exception["exc_type"], exception["exc_value"]) == ("ValueError", "no luck")
        assert exception["frames"][-1]["name"] == "fail"
        assert "hunter2" not in json.dumps(line)


async def test_no_line_holds_a_password_of_a_url() -> None:
    program = """
configure(service="order", level="info", format="FORMAT")
url = "postgresql://u:hunter2@h/db"
log.info(f"opened {url}", url=url, urls=[{"at": url}])
logging.getLogger("x").info("opened %s", url)
try:
    raise ValueError(f"cannot reach {url}")
except ValueError:
    log.exception("failed")
    logging.getLogger("x").exception("failed")
"""
    for form in ("json", "console"):
        text = "\n".join(await lines_of(program.replace("FORMAT", form)))
        assert "hunter2" not in text
        assert "postgresql://u:***@h/db" in text


async def test_for_a_person_a_line_is_no_json() -> None:
    (line,) = await lines_of("""
configure(service="order", level="info", format="console")
log.info("stored", rows=3)
""")
    assert "stored" in line
    assert "rows=3" in line
    assert not line.startswith("{")


async def test_what_json_does_not_know_is_logged_as_text() -> None:
    (line,) = await logged("""
configure(service="order", level="info", format="json")
log.info("odd", what={1, }, how=object)
""")
    assert line["what"] == "{1}"


async def test_a_line_that_cannot_be_written_is_lost_and_fails_nobody() -> None:
    *_, last = await logged("""
import os
well = os.dup(1)
reading, writing = os.pipe()
os.close(reading)
os.dup2(writing, 1)
configure(service="order", level="info", format="json")
log.info("lost")
logging.getLogger("alembic").warning("lost too")
os.dup2(well, 1)
log.info("kept")
""")
    assert "kept" == last["event"]
