"""Buckets in S3, or in any store that speaks as S3 does."""
