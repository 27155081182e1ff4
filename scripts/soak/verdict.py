"""Judges what the world went through. Every function returns violations in words; none is good."""

from collections import Counter
from statistics import median

import records
from parts import WATCHDOG_S

SETTLED = {"accepted", "stale", "superseded"}
# A block is written to the journal within this many seconds of its line in the log (journal.deadline_s);
# a process that is killed before that has not promised it to anybody.
JOURNAL_S = 0.25
# A hang is found within this many seconds (liveness in src/tree.rs), and a fault shows within that much.
LIVENESS_S = 30.0
FAULT_S = 20.0
# Escalation: more failures of a child than this within the period, or more abandoned threads than this.
INTENSITY, PERIOD_S, ABANDONED = 10, 60.0, 3
# The same of the advisor (src/tree.rs), which is given up alone.
BELOW_INTENSITY, BELOW_PERIOD_S = 4, 600.0
# SIGTERM allows the children 10 s.
STOP_S = 20.0
# READY=1 comes within this many seconds of the start.
READY_S = 20.0
# Growth of memory that is no leak: allocator, header window, journal index of an hour's blocks.
GROWTH, GROWTH_BYTES = 1.3, 12 << 20
# Descriptors that come and go with connections and clients.
GROWTH_DESCRIPTORS = 24
WARM_S = 20.0


def blocks(journal, chain, lives, ledger):
    """Every block found is in the node's chain or honestly stale, and nothing is open or invalid."""
    entries = {entry["hash"]: entry for entry in journal}
    in_chain = {hash_: height for height, hash_ in chain.items()}
    heights = {}
    for entry in journal:
        heights.setdefault(entry["height"], []).append(entry)
    seen = {hash_: (life, at) for life in lives for hash_, at in records.found(life)}
    facts, wrong = Counter(), []
    facts["found"] = len(entries.keys() | seen.keys())
    for hash_, entry in entries.items():
        state, height = entry["state"], entry["height"]
        facts[state] += 1
        if state == "rejected":
            wrong.append(f"block {height} {hash_} was submitted invalid: {entry['nodes']}")
        elif state not in SETTLED:
            wrong.append(f"block {height} {hash_} is still {state}: {entry['nodes']}")
        elif (state == "accepted") != (hash_ in in_chain):
            wrong.append(f"block {height} {hash_} is {state}, and the node's chain says otherwise")
        elif state != "accepted":
            cause = why_stale(heights[height], ledger)
            if cause:
                facts[f"{state} after {cause}"] += 1
            else:
                wrong.append(f"block {height} {hash_} is {state} without a cause")
    for hash_, (life, at) in seen.items():
        if hash_ in entries:
            continue
        if life.asked == "kill -9" and life.asked_at - at < JOURNAL_S:
            facts["killed before it was on disk"] += 1
        elif hash_ in in_chain and any(
            entry.what == "full" and entry.at <= at + 1 and life.ended - 30 <= (entry.until or life.ended)
            for entry in ledger.entries
        ):
            facts["in the chain, and ended before the full disk took it"] += 1
        else:
            wrong.append(f"block {hash_} of life {life.number} is in no journal")
    for height, hash_ in chain.items():
        if hash_ not in entries and hash_ not in seen:
            wrong.append(f"block {height} {hash_} of the chain was found by nobody")
    return facts, wrong


def why_stale(rivals, ledger):
    """What kept the rivals for one height from knowing of one another."""
    times = sorted(seconds(entry["found_at"]) for entry in rivals)
    if len(times) < 2:
        return None
    causes = [
        entry
        for entry in ledger.entries
        if entry.lane in ("program", "node", "rpc", "children")
        and entry.at <= times[-1]
        and (entry.until or entry.at) >= times[0] - 1
    ]
    # Whatever went on when the first of them was found and could not be delivered.
    first = min(causes, key=lambda entry: entry.at, default=None)
    return first and f"{first.lane} {first.what}"


def seconds(stamp):
    """An RFC 3339 time as seconds since 1970."""
    from datetime import datetime

    whole, _, fraction = stamp.rstrip("Z").partition(".")
    return datetime.fromisoformat(whole + "+00:00").timestamp() + float(f"0.{fraction or 0}")


def ends(lives, children_exits):
    """Every end of a process is a kill, a clean stop, or an escalation that had cause."""
    facts, wrong = Counter(), []
    for life in lives:
        exits = [one for one in children_exits if one.life == life.number]
        said = f"life {life.number} ended with {life.code}"
        # It may have given up just before it was to be ended.
        if life.code == 70:
            if too_many(exits):
                facts["escalated, with cause"] += 1
            else:
                wrong.append(f"{said} without cause; its exits: {[one.reason for one in exits][-5:]}")
        elif life.asked == "kill -9":
            facts["kill -9"] += 1
            if life.code != -9:
                wrong.append(f"{said}, not by the kill")
        elif life.asked:
            forced = life.code == 75 and any("hang" in one.reason or "in time" in one.reason for one in exits)
            # Before the program has taken the signals over, SIGTERM ends it where it stands.
            early = life.code == -15 and life.asked_at - life.began < 5 and not records_any(life)
            if life.code == 0 or forced or early:
                facts["SIGTERM" + (", forced past a hung child" if forced else "")] += 1
            else:
                wrong.append(f"{said} after SIGTERM")
            if life.ended - life.asked_at > STOP_S:
                wrong.append(f"life {life.number} took {life.ended - life.asked_at:.1f} s to stop")
        else:
            wrong.append(f"{said} by itself")
    return facts, wrong


def service(lives, ledger):
    """What a service manager was told: ready soon, and the watchdog fed."""
    facts, wrong = {}, []
    ready = sorted(life.ready for life in lives if life.ready is not None)
    if not ready:
        return facts, wrong
    facts["start to READY=1, median and longest"] = f"{median(ready):.2f} s and {ready[-1]:.2f} s"
    held = [entry.until - entry.at for entry in ledger.entries if entry.what == "suspend" and entry.until]
    for life in lives:
        if life.pinged:
            life.longest_silence = max(life.longest_silence, (life.asked_at or life.ended) - life.pinged)
    facts["longest silence of the watchdog"] = f"{max(life.longest_silence for life in lives):.1f} s"
    for life in lives:
        if life.ready is None and life.ended - life.began > READY_S + max(held, default=0):
            wrong.append(f"life {life.number} lived for {life.ended - life.began:.1f} s and was never ready")
        if life.longest_silence > WATCHDOG_S + max(held, default=0):
            wrong.append(f"life {life.number} did not feed the watchdog for {life.longest_silence:.1f} s")
    return facts, wrong


def records_any(life):
    """Whether the life wrote any line."""
    return any(True for _ in records.read(life))


def too_many(exits):
    """Whether these exits are reason enough to give up."""
    if sum("hang" in one.reason for one in exits) > ABANDONED:
        return True
    by_child = {}
    for one in exits:
        by_child.setdefault(one.child, []).append(one.at)
    return any(
        times[index + INTENSITY] - times[index] <= PERIOD_S
        for times in map(sorted, by_child.values())
        for index in range(len(times) - INTENSITY)
    )


def restarts(lives, children_exits, ledger):
    """Every child that ended did so by an injected fault, and every injected fault had its effect."""
    facts, wrong = Counter(), []
    faults = [entry for entry in ledger.entries if entry.lane == "children"]
    for life in lives:
        faults += planned(life)
    # One that was refused explains an exit only where no other does: its answer may have been lost.
    open_faults = sorted(faults, key=lambda fault: fault.done is False)
    for one in sorted(children_exits, key=lambda one: one.at):
        fault = next((fault for fault in open_faults if explains(fault, one)), None)
        if fault:
            open_faults.remove(fault)
            facts[f"{fault.what} of {one.child}"] += 1
        elif given_up(one, children_exits):
            facts[f"{one.child}, given up with what is below it"] += 1
        elif one.reason.startswith("did not stop in time") and hung_at(one, faults):
            facts["left no time by a hung child in a stop"] += 1
        else:
            wrong.append(f"life {one.life}: {one.child} (generation {one.generation}) ended unexplained: {one.reason}")
    by_number = {life.number: life for life in lives}
    for fault in open_faults:
        life = by_number[fault.life]
        patience = LIVENESS_S if fault.what == "hang" else FAULT_S
        long_enough = fault.what != "hang" or (fault.until or fault.at) - fault.at > patience
        if fault.done and long_enough and (life.asked_at or life.ended) - fault.at > patience:
            if fault.what == "hang" and suspended_during(fault, ledger):
                # Who was held up as a whole is asked again, so this hang may end before it is found.
                facts["hang that a suspension hid"] += 1
            else:
                wrong.append(f"life {life.number}: {fault.what} of {fault.detail} was injected and had no effect")
    return facts, wrong


def given_up(one, children_exits):
    """Whether a child that supervises others ended since one of them could not be kept up."""
    before = Counter(
        other.child
        for other in children_exits
        if other.life == one.life and other.child.startswith(f"{one.child}/") and one.at - BELOW_PERIOD_S <= other.at <= one.at
    )
    return any(exits > BELOW_INTENSITY for exits in before.values())


def suspended_during(fault, ledger):
    """Whether the program was held still as a whole at some time of a fault that lasts."""
    return any(
        entry.what == "suspend" and entry.at < (fault.until or fault.at) and (entry.until or entry.at) > fault.at
        for entry in ledger.entries
    )


def hung_at(one, faults):
    """Whether a hang went on when a child ended: all children share one deadline of a stop."""
    return any(
        fault.what == "hang" and fault.life == one.life and fault.at <= one.at <= (fault.until or fault.at) + FAULT_S
        for fault in faults
    )


def planned(life):
    """The faults that a life was started with, as if they had been injected at their time."""
    from chaos import Mischief

    for one in filter(None, (life.faults or "").split(",")):
        child, kind, after = one.replace("@", ":").split(":")
        yield Mischief(life.began + float(after), "start", kind, child, life.number, life.began + float(after) + 60)


def explains(fault, one):
    """Whether a fault is the cause of an exit."""
    words = {"panic": ("panicked",), "exit": ("stopped by itself",), "hang": ("hangs", "in time")}[fault.what]
    patience = LIVENESS_S + FAULT_S if fault.what == "hang" else FAULT_S
    if fault.done is False:
        # An order waits in the socket's queue while nobody serves it, also when its client has left.
        patience += LIVENESS_S
    return (
        fault.life == one.life
        and fault.detail == one.child
        and fault.at - 0.5 <= one.at <= fault.at + patience
        and any(word in one.reason for word in words)
    )


def footprint(lives):
    """Memory and descriptors do not grow, within a life and from life to life."""
    facts, wrong = {}, []
    for life in lives:
        warm = [sample for sample in life.samples if sample.age > WARM_S]
        if len(warm) < 12:
            continue
        third = len(warm) // 3
        for name, share, extra in (("rss", GROWTH, GROWTH_BYTES), ("descriptors", 1, GROWTH_DESCRIPTORS)):
            early = median(getattr(sample, name) for sample in warm[:third])
            late = median(getattr(sample, name) for sample in warm[-third:])
            if late > early * share + extra:
                wrong.append(f"life {life.number}: {name} grew from {early:.0f} to {late:.0f}")
    young = [
        [sample for sample in life.samples if 5 < sample.age < WARM_S] for life in lives
    ]
    young = [max(samples, key=lambda sample: sample.age) for samples in young if samples]
    if len(young) >= 6:
        third = len(young) // 3
        for name, share, extra in (("rss", GROWTH, GROWTH_BYTES), ("descriptors", 1, GROWTH_DESCRIPTORS)):
            early = median(getattr(sample, name) for sample in young[:third])
            late = median(getattr(sample, name) for sample in young[-third:])
            facts[f"{name} of a young process, first and last third"] = f"{early:.0f} and {late:.0f}"
            if late > early * share + extra:
                wrong.append(f"from life to life {name} grew from {early:.0f} to {late:.0f}")
    every = [sample for life in lives for sample in life.samples]
    if every:
        facts["most memory"] = f"{max(sample.rss for sample in every) / (1 << 20):.0f} MB"
        facts["most descriptors"] = str(max(sample.descriptors for sample in every))
        facts["most threads"] = str(max(sample.threads for sample in every))
    return facts, wrong
