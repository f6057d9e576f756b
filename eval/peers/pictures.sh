#!/usr/bin/env bash
# False alarms of the guard and of its peers for pictures, on harmless ones, as Markdown: eval/peers/pictures.sh PICTURES [PEER...]
# PICTURES is the folder that models/exposure/fetch.sh made, PEER one of opennsfw (the default), nudenet, nsfwjs. NudeNet's licence is
# AGPL-3.0: `guardrail eval peers install nudenet --accept AGPL-3.0` is yours to say.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
pictures="$(realpath "$1")" out="$here/../reports/peers-pictures.md"
cd "$here/../.."
peers=("${@:2}")
[ ${#peers[@]} -gt 0 ] || peers=(opennsfw)
guardrail eval peers install "${peers[@]}"
suite="$(mktemp -d)"
trap 'rm -r "$suite"' EXIT
python3 "$here/pictures.py" "$pictures" models/exposure/pictures.tsv "$suite"
guardrail eval run "$suite" --name peers-pictures --policy default --fresh --no-cache "${peers[@]/#/--peer=}"
{
  cat <<'TEXT'
# Harmless pictures beside others

Made by `eval/peers/pictures.sh`: pictures without nudity from public packages (`models/exposure/pictures.tsv`), so false alarms
only. The guard's curve was chosen with these pictures in sight (`models/exposure`), so its own line is no test of it; the others'
lines are. Its `exposure` is graded: 0.33 is suggestive, 0.66 partly nude. It looks at margins, squares and bodies of a picture as well,
which finds more and errs more; the others look once. More than a third of the pictures are pieces cut out of paintings, where most of
its alarms are. How much each one finds is not told here: no picture of nudity is. Median milliseconds are of one picture at a time, on a
machine that had other work, the guard's with all checks of pictures.

TEXT
  for threshold in 0.33 0.5 0.8; do
    printf '\n## From %s\n\n' "$threshold"
    guardrail eval peers table peers-pictures "${peers[@]/#/peers-pictures@}" --threshold "$threshold"
  done
} > "$out"
