#!/usr/bin/env bash
# jq builds a large document, groups, sorts and reshapes it.
# needs: jq
# SPDX-License-Identifier: MIT
set -eu
count=60000; [ "${QUICK:-}" ] && count=20000
jq -nc "[range($count) | {id: ., name: \"name \(. * 7919 % 10007)\", tags: [range(. % 5)], deep: {a: {b: (. % 97)}}}]" > big.json
jq -c 'group_by(.deep.a.b) | map({k: .[0].deep.a.b, n: length, first: (map(.name) | sort | .[0])})' big.json
jq 'map(select(.id % 1000 == 7)) | sort_by(.name)' big.json
jq -r '.[] | select(.tags | length > 3) | [.id, .name] | @csv' big.json | sha256sum
jq 'walk(if type == "number" then . + 1 else . end) | length' big.json
