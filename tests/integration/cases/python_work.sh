#!/usr/bin/env bash
# A Python program with many objects, threads and forked workers, all on malloc (PYTHONMALLOC=malloc).
# needs: python3
# SPDX-License-Identifier: MIT
set -eu
exec /usr/bin/python3 - "${QUICK:+40000}" <<'PY'
import concurrent.futures as futures, hashlib, json, multiprocessing, random, re, sys, zlib

count = int(sys.argv[1] or 150000)

def work(seed):
    r = random.Random(seed)
    table = {}
    for i in range(count // 4):
        table.setdefault(r.randrange(5000), []).append("x" * r.randrange(200))
    text = json.dumps({str(k): v[:3] for k, v in sorted(table.items())})
    back = json.loads(text)
    words = re.findall(r"x{3,7}", text)
    packed = zlib.compress(text.encode(), 6)
    return hashlib.sha256(packed + str(len(words) + len(back)).encode()).hexdigest()

print([work(1), work(2)])
with futures.ThreadPoolExecutor(4) as pool:
    print(list(pool.map(work, range(6))))
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map(work, range(4)))
big = [bytearray(10**6) for _ in range(50)]
del big[::2]
print(sum(map(len, big)), len(sorted((random.Random(7).random() for _ in range(count)))))
PY
