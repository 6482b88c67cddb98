"""What one can ask of clew. The command line and the Python interface end here; they translate and print."""

from __future__ import annotations

from clew.operations.requests import RequestError, check_request, run_document, unknown_buckets

__all__ = ["RequestError", "check_request", "run_document", "unknown_buckets"]
