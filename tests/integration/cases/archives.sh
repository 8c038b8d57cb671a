#!/usr/bin/env bash
# tar, gzip, bzip2, xz with two threads and back again: equal archives, equal contents.
# needs: tar gzip xz sha256sum
# files: *.tar.*
# SPDX-License-Identifier: MIT
set -eu
mega=16 files=40; [ "${QUICK:-}" ] && mega=2 files=12
mkdir tree
for i in $(seq 1 "$files"); do seq "$i" 3 $((i * 2000)) > "tree/numbers$i"; done
awk -v n="$((mega * 60000))" 'BEGIN { s = 1; for (i = 0; i < n; ++i) { s = (s * 16807) % 2147483647; print s } }' > tree/large
pack="tar --sort=name --mtime=2024-01-01 --owner=0 --group=0 --numeric-owner -cf"
$pack plain.tar tree
gzip -n -9 -k plain.tar
xz -T2 --block-size=1MiB -2 -k plain.tar
if command -v bzip2 > /dev/null; then bzip2 -k plain.tar; fi
if command -v zstd > /dev/null; then zstd -q -T2 -9 plain.tar; fi
sha256sum plain.tar plain.tar.*
mv tree before
xz -dc plain.tar.xz | tar -xf -
diff -r before tree && echo "same contents"
