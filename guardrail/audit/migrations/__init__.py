"""How the log's tables came about, step by step; run by `guardrail.audit.store` when a log is opened."""
