"""Mutants of what admits links later: see `mutants`."""

from __future__ import annotations

LEADING_ON = "coordinator/core/leading_on.py"
COSTS = "coordinator/core/costs.py"
PARTS = "coordinator/core/parts.py"
LEASES = "coordinator/core/leases.py"
OUTSTANDING = "worker/talk/outstanding.py"
ADMISSION = "coordinator/core/admission.py"
CREATION = "coordinator/core/creation.py"
LEADS = "coordinator/core/leads.py"
SETTLE = "coordinator/core/settle.py"
POLITENESS = "coordinator/core/politeness.py"
SERVICE = "coordinator/conduct/service.py"
HOSTS = "coordinator/conduct/led_hosts.py"
STORE = "coordinator/frontier/durable/store.py"
CACHE = "coordinator/frontier/durable/row_cache.py"

# Why a mutant may live.
KNOWN = (
    "known outlinks get smaller depths only if their page did meanwhile; found by tests/unit/test_rule_leading_on.py"
)

AGAIN = "needs a page that its own portion finds nearer; found by tests/unit/test_rule_leading_on.py"
FEW = "a seed has so few hosts that all are among the costliest; found by tests/unit/test_rule_costs.py"
MISSING = "needs a part that was kept, and then lost by a power cut; found by test_client.py and test_rule_parts.py"
JOINS = "hosts join units of domains only in tests/unit/test_rule_admission.py, which finds it"

FLOOD_MUTANTS: tuple[tuple[str, ...], ...] = (
    (LEADING_ON, "    if is_beyond:\n        return\n    turn.put(LeadOnRow", "    turn.put(LeadOnRow"),
    (LEADING_ON, "order = task.order if is_read and before is None else turn.next_order()", "order = task.order"),
    (LEADING_ON, "links=later.links, known=later.known", "links=later.links", KNOWN),
    (LEADING_ON, "links_waiting=total(host.links_waiting, later.number)", "links_waiting=host.links_waiting"),
    (LEADING_ON, "task.outlinks[row.done : row.done + most]", "task.outlinks[row.done + 1 : row.done + most]"),
    (LEADING_ON, "urls.some(row.done, number)", "urls.some(0, number)"),
    (LEADING_ON, "first = max(0, row.done - urls.number)", "first = row.done"),
    (PARTS, "        _keep(turn, lease, kept, report.part)\n", "        pass\n"),
    (PARTS, "report.place > len(kept.orders) or ", "", MISSING),
    (PARTS, " or (report.more and report.place < len(kept.orders))", ""),
    (PARTS, "    if lease is None:\n", "    if False:\n"),
    (PARTS, "(*kept.orders, order)", "(order, *kept.orders)"),
    (LEASES, "    parts.without(turn, lease, lease.refs)\n", "    pass\n"),
    (LEASES, "parts=parts.without(turn, lease, refs)", "parts=lease.parts"),
    (OUTSTANDING, "sent=min(ack.parts, len(delivery.ahead))", "sent=delivery.sent + 1", MISSING),
    (LEADING_ON, "Link(url=url, depth=task.depth + 1, found_on", "Link(url=url, depth=task.depth, found_on"),
    (LEADING_ON, "every[row.done : row.done + most]", "every[row.done + 1 : row.done + most]"),
    (LEADING_ON, "or leads.is_sound(link, turn.policy)", "or True"),
    (LEADING_ON, "if at is not None and at > depth:", "if False:"),
    (LEADING_ON, "if existing(turn.tasks[task.ref]).depth < task.depth:", "if False:", AGAIN),
    (LEADING_ON, "done=row.done + portion.size, waiting", "waiting"),
    (LEADING_ON, "    if waiting < row.waiting:\n", "    if False:\n"),
    (LEADING_ON, "    turn.remove(succeed(row))\n", "    pass\n"),
    (LEADING_ON, "(has_depths and row.order == task.order)", "False"),
    (LEADING_ON, "(has_depths and row.order == task.order)", "True"),
    (LEADING_ON, "        admission.awaken_host(turn, host.key)\n", "        pass\n"),
    (LEADING_ON, 'outlinks = b"".join([*admitted,', 'outlinks = b"".join([*(link.ref for link in portion.links),'),
    (CREATION, "host.known < turn.policy.limits.known_per_host", "True"),
    (CREATION, "known=row.known + 1", "known=row.known"),
    (CREATION, "if row is None or not (row.origins or row.unit):", "if row is None:", JOINS),
    (COSTS, "if len(others) < len(ledger.costliest):", "if False:", FEW),
    (COSTS, "_largest(hosts, kind)[-1][1] for kind", "_largest(hosts, kind)[0][1] for kind", FEW),
    (ADMISSION, "                let_lead_on(turn, existing(turn.tasks[ref]))\n", "                pass\n"),
    (ADMISSION, "turn.policy.extent.depth is not None and _was_read(task):", "False:"),
    (ADMISSION, "        turn.put(succeed(row, done=0))\n", "        pass\n"),
    (ADMISSION, "return 0 if task.outcome is Outcome.REDIRECTED else 1", "return 1"),
    (LEADS, "return report, NOTHING if not listed or room.has(listed)", "return report, NOTHING if True"),
    (LEADS, "        self._left -= links\n", "        pass\n"),
    (SETTLE, "if later.links or later.known or later.listed:", "if False:"),
    (POLITENESS, "    if is_flooding(host, policy):\n        return 0\n", ""),
    (SERVICE, " and not self._led\n", "\n"),
    (SERVICE, "        self._led.note(changes)\n", "        pass\n"),
    (HOSTS, "dict.fromkeys(row.host for row in store.resident(LeadOnRow))", "{}"),
    (HOSTS, "if next(iter(self._store.family(LeadOnRow, host)), None) is not None:", "if False:"),
    (STORE, "if not is_removed(kind, key)]", "]"),
)
