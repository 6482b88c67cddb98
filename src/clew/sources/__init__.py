"""Where a stage's code comes from: fetched before an attempt into its own work folder, and kept beside the store.

`fetching.py` says what happens in which order; `folders.py` fetches from buckets and `commits.py` from git, both by
`trees.py`, which alone writes; `cache.py` keeps what was fetched.
"""
