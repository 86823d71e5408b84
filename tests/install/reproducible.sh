#!/bin/sh
# Builds the files in git's index twice, in folders with names of different lengths, with different numbers of
# jobs, umasks, time zones, locales, and dates of the files. Libraries, examples and manual page must be equal
# byte for byte.
cd "$(dirname "$0")/../.." || exit 1
: "${MAKE:=make}"
unset MAKEFLAGS MAKELEVEL MFLAGS
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' INT TERM
a=$folder/a
b=$folder/another-name/below

build() { # folder jobs
    (cd "$1" && "$MAKE" -j "$2" all build/examples/fashion_mnist.1) >"$folder/log" 2>&1 && return
    tail -n 20 "$folder/log"
    exit 1
}
mkdir -p "$a" "$b"
git checkout-index --all --prefix="$a/"
git checkout-index --all --prefix="$b/"
find "$b" -type f -exec touch -d 2001-02-03 {} +
(umask 022 && TZ=UTC LC_ALL=C && export TZ LC_ALL && build "$a" 2) || exit 1
(umask 077 && TZ=Asia/Tokyo LC_ALL=C.UTF-8 && export TZ LC_ALL && build "$b" 3) || exit 1

(cd "$a" && find build -type f ! -name '*.[od]') | LC_ALL=C sort >"$folder/files"
for file in build/libswale.a build/libswale.so build/examples/hello; do
    [ -f "$a/$file" ] || { echo "$file was not built" && exit 1; }
done
while read -r file; do
    cmp "$a/$file" "$b/$file" || different=yes
done <"$folder/files"
[ -z "$different" ] && echo "$(wc -l <"$folder/files") files are equal: $(tr '\n' ' ' <"$folder/files")"
