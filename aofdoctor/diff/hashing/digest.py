"""The digests in use: the compiled ones where they were built, else their plain twins."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aofdoctor.diff.hashing._pydigest import Digest, common_prefix_length, key_digests, record_digests
else:
    try:
        from aofdoctor.diff.hashing._digest import Digest, common_prefix_length, key_digests, record_digests
    except ImportError:
        from aofdoctor.diff.hashing._pydigest import Digest, common_prefix_length, key_digests, record_digests

__all__ = ["Digest", "common_prefix_length", "key_digests", "record_digests"]
