#!/usr/bin/env bash
# sort (parallel, with files of its own), uniq, awk, sed, grep, comm, tr on half a million lines.
# needs: sort awk sha256sum
# SPDX-License-Identifier: MIT
set -eu
count=500000; [ "${QUICK:-}" ] && count=150000
awk -v n="$count" 'BEGIN { s = 1; for (i = 0; i < n; ++i) { s = (s * 16807) % 2147483647; print s % 100003, "line", s } }' > lines
sort --parallel=2 -S 8M -T . -k1,1n -k3,3 lines | sha256sum
sort -u -k1,1 lines | wc -l
awk '{ count[$1]++; text[$1] = text[$1] " " $3 } END { for (k in count) if (count[k] > 12) print k, count[k], length(text[k]) }' lines | sort
sed -E 's/([0-9]+) line ([0-9]{3})/\2-\1/' lines | grep -E '^1[0-9]{2}-.*7$' | sha256sum
cut -d' ' -f1 lines | sort | uniq -c | sort -rn | head -20
tr 0-9 a-j < lines | sha256sum
