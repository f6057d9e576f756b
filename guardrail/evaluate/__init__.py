"""Evaluation: suites of labelled rows, the engine that scores them, attacks on them, peers beside them, and figures.

A run leaves a folder of which every figure can be computed again: `run.json`, `rows.jsonl` and `timings.jsonl`.
Nothing heavy is imported before it is used: without the extra `eval` the package imports and says what is missing.
"""
