"""HTTP: :class:`.transport.Transport` takes a request and returns a response, or raises one of our errors.

- what may be requested: ``url_policy``, ``addresses``, ``proxies``, ``redirects``;
- how it is sent: ``transport``, ``adapter``, ``connection_pool``, ``connection``, ``sockets``;
- what comes back: ``framing``, ``body``, ``event_stream``, ``memory_limit``;
- what failed: ``error_mapping``, ``status_cases``, ``error_body``, ``retry_after``, ``exception_mapping``,
  ``redaction``.
"""
