#!/usr/bin/env bash
# redis-server on a socket of its own takes thousands of commands; replies and the digest of the data must be equal.
# needs: redis-server redis-cli
# SPDX-License-Identifier: MIT
set -eu
count=40000; [ "${QUICK:-}" ] && count=10000
redis-server --port 0 --unixsocket "$PWD/s" --save '' --appendonly no --enable-debug-command yes \
  --io-threads 2 --dir "$PWD" --daemonize no > log 2>&1 &
server=$!
trap 'kill $server 2> /dev/null || true; wait $server || true' EXIT
for _ in $(seq 100); do [ -S s ] && break; sleep 0.1; done
ask() { redis-cli -s "$PWD/s" "$@"; }
seq "$count" | awk '{ printf "SET key:%d %0*d\nRPUSH list:%d %d\nZADD rank %d member:%d\nHSET hash:%d f%d %d\n",
  $1, $1 % 300 + 1, $1, $1 % 50, $1, $1 * 7919 % 10007, $1, $1 % 100, $1 % 40, $1 }' | ask | sort | uniq -c
ask DBSIZE
ask GET key:4242
ask ZRANGE rank 100 130 WITHSCORES
ask LRANGE list:7 0 20
ask EVAL 'local s = 0 for i = 1, 5000 do s = s + #redis.call("GET", "key:" .. i) end return s' 0
ask DEBUG DIGEST
seq 1 3 "$count" | sed 's/.*/DEL key:&/' | ask | sort | uniq -c
ask SAVE
ask DEBUG RELOAD
ask DEBUG DIGEST
ask SHUTDOWN NOSAVE || true
wait $server
trap - EXIT
