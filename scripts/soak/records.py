"""Reads what a life of the program left: its log lines."""

import re
from dataclasses import dataclass
from datetime import datetime

LINE = re.compile(r"^(\S+Z)\s+(ERROR|WARN|INFO|DEBUG)\s+[\w:]+: (.*)$")
FIELD = re.compile(r"\b(\w+)=(\"[^\"]*\"|\S+)")


@dataclass
class Record:
    """One line of a log."""

    at: float
    level: str
    text: str
    fields: dict


def read(life):
    """Every line of a life's log that has the log's form; a torn last one has not."""
    if not life.log.exists():
        return
    for line in life.log.read_text(errors="replace").splitlines():
        if match := LINE.match(line):
            stamp, level, rest = match.groups()
            at = datetime.fromisoformat(stamp).timestamp()
            yield Record(at, level, rest, dict(FIELD.findall(rest)))


@dataclass
class Exit:
    """A child that ended by itself."""

    life: int
    at: float
    child: str
    generation: str
    reason: str


# The name of the root supervisor.
ROOT = "signalcore"
# What a supervisor says of a generation, other than why it ended.
OTHER = ("last error", "last warning", "up ", "will be started again", "cannot be kept up", "an abandoned generation", "stopped on request")


def found(life):
    """The blocks that a life says it found: hash and time."""
    for record in read(life):
        if record.text.startswith("block found") and "hash" in record.fields:
            yield record.fields["hash"], record.at


def exits(life):
    """The children that ended in a life, but for those that were asked to."""
    for record in read(life):
        fields = record.fields
        if record.level == "DEBUG" or not {"supervisor", "child", "generation"} <= fields.keys():
            continue
        if record.text.startswith(OTHER) or record.text.startswith("hangs: abandoned"):
            continue
        reason = record.text.split(" supervisor=")[0]
        # As `ops fault` and `status` name it: with the supervisor that it belongs to, unless that is the root.
        above = fields["supervisor"]
        child = fields["child"] if above == ROOT else f"{above}/{fields['child']}"
        yield Exit(life.number, record.at, child, fields["generation"], reason)
