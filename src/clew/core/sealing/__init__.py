"""Why a record can be believed: canonical bytes, hashes, links."""
