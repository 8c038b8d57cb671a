#!/usr/bin/env bash
# bash itself: arrays, associative arrays, string operations, functions, subshells, pipes, here-documents.
# SPDX-License-Identifier: MIT
set -eu
n=20000; [ "${QUICK:-}" ] && n=6000
declare -A table; list=(); s=1
for ((i = 0; i < n; ++i)); do
  ((s = (s * 16807) % 2147483647))
  table[k$((s % 701))]+="$((s % 10))"
  list+=("item $s")
done
for k in $(printf '%s\n' "${!table[@]}" | sort); do echo "$k ${#table[$k]} ${table[$k]:0:10}"; done | tail -40
echo "${#list[@]} ${list[77]} ${list[@]: -2}"
text=""; for ((i = 0; i < n; ++i)); do text+="word$i "; done
echo "${#text}"; short="${text//word1/W}"; echo "${#short}"
unset 'list[5]'; echo "${#list[@]}"
down() { local depth=$1 pad="${2:-}x"; ((depth == 0)) && { echo "${#pad}"; return; }; down $((depth - 1)) "$pad"; }
down 400
for i in $(seq 1 40); do (exit $((i % 3))) && echo "good $i" || echo "code $?"; done
echo {1..5}{a..c} | tr ' ' '\n' | while read -r word; do printf '%s;' "$word"; done
wc -l <<< "$(printf '%s\n' "${list[@]}")"
