#!/usr/bin/env bash
# Score the project's own suites and write a Markdown report of each beside this file.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
cd "$here/../.."
for suite in undress-edits sexual-topics minor-markers persons ordinary; do
    guardrail eval run "$suite" --name "report-$suite" --policy default --fresh
    guardrail eval report "report-$suite" --markdown "$here/$suite.md"
done
