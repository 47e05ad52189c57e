"""Compute digests of records: the compiled functions, or the pure Python ones if those were not built."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aofdoctor.diff.hashing._pydigest import Digest, common_prefix_length, key_digests, record_digests
else:
    try:
        from aofdoctor.diff.hashing._digest import Digest, common_prefix_length, key_digests, record_digests
    except ImportError:
        from aofdoctor.diff.hashing._pydigest import Digest, common_prefix_length, key_digests, record_digests

__all__ = ["Digest", "common_prefix_length", "key_digests", "record_digests"]
