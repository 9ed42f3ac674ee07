"""What both ends of the wire demand of TLS: version 1.3, and the coordinator's own certificate."""

from __future__ import annotations

import functools
import os
import ssl

from crawlfleet.shared.errors import UsageError
from crawlfleet.shared.wire.identity import Identity


def server_context(identity: Identity) -> ssl.SSLContext:
    """Return the context of a coordinator; raise `UsageError` if key and certificate do not fit."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    # The ssl module loads keys only from files; this file is in memory and ends with its descriptor.
    descriptor = os.memfd_create("identity")
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(identity.key + b"\n" + identity.certificate)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    except ssl.SSLError as error:
        raise UsageError("the coordinator's key and certificate do not belong together: put both back") from error
    finally:
        os.close(descriptor)
    return context


@functools.cache
def client_context() -> ssl.SSLContext:
    """Return the context of clients, who verify only the fingerprint: names and authorities are not used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
