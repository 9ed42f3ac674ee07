"""Mutants of checks of links that lead out of the scope: see `mutants`."""

from __future__ import annotations

CHECKS = "coordinator/core/checks.py"
ADMISSION = "coordinator/core/admission.py"
BUDGET = "coordinator/core/budget.py"
GRANTING = "coordinator/core/granting.py"
JUDGING = "coordinator/core/judging.py"
LAWS = "coordinator/offline/laws.py"
LEADS = "coordinator/core/leads.py"
SETTLE = "coordinator/core/settle.py"
SERVICE = "coordinator/conduct/service.py"

FEWER = "pages then wait as checks until they are settled, and are fetched all the same; test_rule_checks.py finds it"
LATER = "equivalent but for the time of the answer: what is asked for becomes a page when all is judged again"

CHECK_MUTANTS: tuple[tuple[str, ...], ...] = (
    (CHECKS, "if not turn.policy.links.check_external or refusal not in _OUTSIDE", "if refusal not in _OUTSIDE"),
    (CHECKS, "not (link.seed or link.asked) and ", ""),
    (CHECKS, "task.by_get or is_refusal(report)", "is_refusal(report)"),
    (ADMISSION, "task.kind is Kind.CHECK and task.state is not TaskState.LEASED", "task.kind is Kind.CHECK"),
    (ADMISSION, "(depth == NOT_REACHED and not asked) or ", ""),
    (ADMISSION, " or not checks.is_in_scope(turn, task)", ""),
    (ADMISSION, "    if is_beyond(depth, turn.policy) and not asked:\n        refusal = Reason.DEPTH\n", ""),
    (ADMISSION, "        if adopt(turn, task, depth) is task:\n", "        if True:\n"),
    (ADMISSION, '"queue": task.gate, "asked": asked}', '"queue": task.host, "asked": asked}'),
    (ADMISSION, "_AFRESH, **page, hops", "{}, **page, hops"),
    (BUDGET, "tasks = [task for task in tasks if task.kind in (Kind.PAGE, Kind.SITEMAP)]", "tasks = []"),
    (BUDGET, "tasks = [task for task in tasks if task.kind in (Kind.PAGE, Kind.SITEMAP)]", "pass"),
    (
        GRANTING,
        "refuse_by_robots(turn, admission.as_they_are_now(turn, tasks))",
        "refuse_by_robots(turn, tasks)",
        FEWER,
    ),
    (LEADS, "task.depth if task.kind is not Kind.CHECK else NOT_REACHED", "task.depth"),
    (SETTLE, "                admission.adopt(turn, task)\n", "                pass\n"),
    (SETTLE, "task.kind in (Kind.SITEMAP, Kind.CHECK)", "task.kind is Kind.SITEMAP"),
    (SETTLE, "by_get=task.by_get or by_get", "by_get=by_get"),
    (SERVICE, "kinds=frozenset({Kind.CHECK})", "kinds=frozenset()"),
    (LAWS, "TaskEvent.RECHECKED, TaskEvent.ADOPTED}", "TaskEvent.RECHECKED}"),
    ("coordinator/conduct/asks.py", " and task.ref in adopted", "", LATER),
)
