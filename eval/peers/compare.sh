#!/usr/bin/env bash
# The table of peers on the project's own prompt suites: eval/peers/compare.sh WORDS OUT.md
# WORDS is a list of words, one a line, for the peer `keywords`. Peers are installed where they are not yet.
set -euo pipefail
words=$1 out=$2
peers=(spacy-bow spacy-char-embed litellm)
guardrail eval peers install "${peers[@]}"
runs=()
for suite in undress-edits sexual-topics ordinary; do
  guardrail eval run "$suite" --fresh --peer keywords --peer-option "keywords.words=$words" "${peers[@]/#/--peer=}"
  runs+=("$suite" "$suite@keywords" "${peers[@]/#/$suite@}")
done
guardrail eval peers table "${runs[@]}" --out "$out"
