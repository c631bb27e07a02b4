"""Files of servers: where they are, downloads that go on where they were, and their limits.

Addresses and digests in; files in the cache out.
"""
