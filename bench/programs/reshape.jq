# Groups, sorts and rewrites a large array; prints a digest of it.
# SPDX-License-Identifier: MIT
[ .[] | {id, key: (.name | ascii_downcase), tags: (.tags | map("t" + .) | sort),
         path: (.parent.path | split("/"))} ]
| group_by(.key) | map({key: .[0].key, n: length, last: (map(.id) | max), tags: ([.[].tags[]] | unique)})
| sort_by(-.n, .key)
| {groups: length, top: .[:20], text: (map(.key + ":" + (.n | tostring)) | join(",") | length)}
