"""The default cache: scores in one LMDB file that many processes share."""
