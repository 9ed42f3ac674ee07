"""Maps what goes wrong in the requests engine to the reasons of reports.

Only here do the errors of its libraries get our names. It opens nothing and decides nothing about retries of a task.
"""

from __future__ import annotations

import http.client
import ssl

from urllib3 import exceptions as foreign

from crawlfleet.shared import descriptors
from crawlfleet.shared.messages import Outcome
from crawlfleet.shared.reasons import Reason
from crawlfleet.worker.fetch.guard import KeptOut, Unresolved
from crawlfleet.worker.fetch.head import BrokenAnswer
from crawlfleet.worker.fetch.port import Headers, refusal_of

# Maps the exceptions of libraries, by phase, to the reasons of reports; the first match counts.
CONNECT_REASONS: tuple[tuple[type[BaseException], Reason], ...] = (
    (TimeoutError, Reason.TIMEOUT_CONNECT),
    (ssl.SSLCertVerificationError, Reason.TLS_UNTRUSTED),
    (ssl.SSLError, Reason.TLS),
    (foreign.SSLError, Reason.TLS),
    (OSError, Reason.CONNECT),
)
EXCHANGE_REASONS: tuple[tuple[type[BaseException], Reason], ...] = (
    (TimeoutError, Reason.TIMEOUT_TOTAL),
    (foreign.ReadTimeoutError, Reason.TIMEOUT_TOTAL),
    (http.client.IncompleteRead, Reason.BODY_TRUNCATED),
    (http.client.HTTPException, Reason.BAD_FRAMING),
    (ssl.SSLError, Reason.TLS),
    (foreign.SSLError, Reason.TLS),
    (OSError, Reason.RESET),
)
_OUTCOMES: dict[str, Outcome] = {
    Reason.BODY_TOO_LARGE: Outcome.TOO_LARGE,
    Reason.INTERNAL_ERROR: Outcome.INTERNAL_ERROR,
    Reason.PRIVATE_ADDRESS: Outcome.DENIED,
}
# Results of OpenSSL's X509_verify_cert; any other one means that no trusted authority has signed.
_TLS_REASONS = {9: Reason.TLS_EXPIRED, 10: Reason.TLS_EXPIRED, 62: Reason.TLS_WRONG_HOST, 64: Reason.TLS_WRONG_HOST}


class Failed(Exception):
    """How an exchange failed. `status` and `headers` are those of the head, if one had arrived."""

    status = 0
    headers = Headers()
    remote_address = ""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail

    @property
    def outcome(self) -> Outcome:
        return _OUTCOMES.get(self.reason, Outcome.NETWORK_ERROR)


def failure_of(error: Exception, reasons: tuple[tuple[type[BaseException], Reason], ...]) -> Failed:
    """Map a library's error to a failure; re-raise an error without a reason: it is a bug."""
    if isinstance(error, BrokenAnswer):
        return Failed(error.reason, str(error))
    seen: BaseException = error
    if isinstance(error, foreign.ProtocolError) and error.__cause__ is not None:
        seen = error.__cause__
    if isinstance(seen, Unresolved):
        return Failed(seen.reason, str(seen))
    if isinstance(seen, KeptOut):
        return Failed(Reason.PRIVATE_ADDRESS, str(seen))
    if _is_for_want_of_descriptors(seen):
        return Failed(Reason.DESCRIPTORS, str(seen))
    for kind, reason in reasons:
        if isinstance(seen, kind):
            if isinstance(seen, ssl.SSLCertVerificationError):
                reason = _TLS_REASONS.get(seen.verify_code, reason)  # noqa: PLW2901  the narrower one
            if reason is Reason.CONNECT and isinstance(seen, OSError):
                reason = refusal_of(seen.errno or 0)  # noqa: PLW2901  the narrower one
            return Failed(reason, str(seen) or type(seen).__name__)
    raise error


def _is_for_want_of_descriptors(error: BaseException) -> bool:
    """Say whether an error came because no descriptor was left."""
    return isinstance(error, OSError) and error.errno in descriptors.EXHAUSTED
