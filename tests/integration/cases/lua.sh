#!/usr/bin/env bash
# lua: tables that grow and shrink, string building, coroutines, garbage collection.
# needs: lua
# SPDX-License-Identifier: MIT
set -eu
exec lua - <<'LUA'
local n = os.getenv("QUICK") and 100000 or 400000
local t, s = {}, 1
for i = 1, n do s = (s * 1103515245 + 12345) % 2147483648; t[s % 9973] = (t[s % 9973] or "") .. string.char(97 + s % 26) end
local total, keys = 0, {}
for k, v in pairs(t) do total = total + #v; keys[#keys + 1] = k end
table.sort(keys)
print(total, #keys, keys[1], keys[#keys])
local parts = {}
for i = 1, #keys do parts[i] = keys[i] .. "=" .. t[keys[i]] end
local text = table.concat(parts, ";")
local sum = 0
for c in text:gmatch("%d+") do sum = (sum * 31 + tonumber(c)) % 1000000007 end
print(#text, sum)
local producers = {}
for i = 1, 2000 do producers[i] = coroutine.wrap(function() for j = 1, 10 do coroutine.yield(i * j) end end) end
local got = 0
for j = 1, 10 do for i = 1, 2000 do got = got + producers[i]() end end
print(got)
t, parts, producers = nil, nil, nil
collectgarbage()
print(collectgarbage("count") < 20000)
LUA
