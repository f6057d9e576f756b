#!/usr/bin/env bash
# Everything in this folder but peers-pictures.md, anew: the six suites with the default checks and policy, the guard beside its
# peers on the same rows in the same run, and what attacks leave. `make.sh reports`, `make.sh peers` and `make.sh attacks` make a part.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
cd "$here/../.."
suites=(undress-edits sexual-topics minor-markers persons ordinary disguises)
any=(keywords litellm spacy-bow spacy-char-embed)   # one score for all that is not safe
minor=(spacy-bow spacy-char-embed)                  # and one for youth

run() { guardrail eval run "$1" --name "report-$1" --policy default --fresh "${@:2}"; }

reports() {
  for suite in "${suites[@]}"; do
    run "$suite"
    guardrail eval report "report-$suite" --markdown "$here/$suite.md"
  done
}

peers() {
  guardrail eval peers install "${any[@]}"
  local runs=()
  for suite in undress-edits sexual-topics ordinary; do
    run "$suite" --no-cache "${any[@]/#/--peer=}"
    runs+=("report-$suite" "${any[@]/#/report-$suite@}")
  done
  run minor-markers --no-cache "${minor[@]/#/--peer=}"
  runs+=(report-minor-markers "${minor[@]/#/report-minor-markers@}")
  {
    cat <<'TEXT'
# Beside others

Made by `eval/reports/make.sh peers`: the guard and other filters on the rows of this repository's suites, each at its usual threshold.
Recall alone says little: read it beside the false alarms, or compare AUC. A filter with one score for all that is not safe is held
against each factor, which is how it is used; `ordinary` has next to nothing harmful in it. `keywords` is the list
`eval/peers/keywords/words.txt`; the spaCy classifiers know English only, so the rows in English stand apart below. What each filter is:
`eval/peers`. A name without @ is the guard. Median milliseconds, on a machine that had other work: the guard's are of rows in
batches, the others' of one row after the other.

## All languages

TEXT
    guardrail eval peers table "${runs[@]}"
    printf '\n## English\n\n'
    guardrail eval peers table "${runs[@]}" --where lang=en
  } > "$here/peers.md"
}

attacks() {
  attack undress-edits undress
  attack sexual-topics sexual
  attack minor-markers minor
}

attack() {
  {
    printf '# Attacks on %s\n\nMade by `eval/reports/make.sh attacks`.\n\n' "$1"
    guardrail eval attack "$1" --factor "$2" --policy default --name "attacked-$1" --fresh
  } > "$here/attacks-$1.part"
  mv "$here/attacks-$1.part" "$here/attacks-$1.md"
}

[ $# -gt 0 ] || set -- reports peers attacks
for part in "$@"; do "$part"; done
