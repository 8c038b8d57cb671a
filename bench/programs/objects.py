"""Python objects of all kinds, made, kept, found, changed and dropped; prints a checksum.

Run with PYTHONMALLOC=malloc each of them is a malloc.
SPDX-License-Identifier: MIT
"""
import json
import re
import sys
import zlib


class Node:
    def __init__(self, key, left, right):
        self.key, self.left, self.right = key, left, right


def tree(depth, key=1):
    if depth == 0:
        return None
    return Node(key, tree(depth - 1, 2 * key), tree(depth - 1, 2 * key + 1))


def total(node):
    return 0 if node is None else node.key + total(node.left) + total(node.right)


def records(count):
    return [{"id": i, "name": f"item-{i * 7919 % 10007}", "tags": [str(i % 7), str(i % 11)],
             "price": i * 1.25, "parent": {"id": i // 10, "path": "/".join(map(str, range(i % 6)))}}
            for i in range(count)]


def word_count(text):
    counts = {}
    for word in re.findall(r"[a-z]+-\d+", text):
        counts[word] = counts.get(word, 0) + 1
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


def main(scale):
    check = 0
    for turn in range(max(1, 8 * scale // 100)):
        rows = records(60 * scale)
        text = json.dumps(rows)
        back = json.loads(text)
        check = zlib.crc32(repr(word_count(text)[:50]).encode(), check)
        by_name = {}
        for row in back:
            by_name.setdefault(row["name"], []).append(row)
        kept = [max(group, key=lambda row: row["price"]) for _, group in sorted(by_name.items())]
        check = zlib.crc32(json.dumps(kept, sort_keys=True).encode(), check)
        check += total(tree(10 if scale < 100 else 14)) + turn
        joined = ""
        for row in rows[:400]:
            joined += row["name"] + row["parent"]["path"]
        check = zlib.crc32(joined.encode(), check)
    print(check)


main(int(sys.argv[1]))
