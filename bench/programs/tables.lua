-- Lua tables, strings and closures: trees built and dropped, texts cut and joined, a queue that wanders.
-- Prints a checksum; walks arrays only, for the order of keys in a table differs from run to run.
-- SPDX-License-Identifier: MIT
local scale = tonumber(arg[1])

local function tree(depth)
  if depth == 0 then return {1} end
  return {depth, tree(depth - 1), tree(depth - 1)}
end

local function count(node)
  if not node[2] then return 1 end
  return 1 + count(node[2]) + count(node[3])
end

local function words(n)
  local parts = {}
  for i = 1, n do parts[i] = string.format("key%d=%s", i * 7919 % 10007, string.rep("x", i % 40)) end
  local text, found, sum = table.concat(parts, ";"), {}, 0
  for key, value in text:gmatch("(%w+)=(%w*)") do
    found[key] = (found[key] or 0) + #value
    sum = (sum * 31 + found[key]) % 1000000007
  end
  return sum
end

local function queue(n)
  local items, first, sum = {}, 1, 0
  for i = 1, n do
    items[i] = {id = i, name = "n" .. i, call = function() return i end}
    if i - first > 2000 then
      sum = (sum + items[first].call() + #items[first].name) % 1000000007
      items[first] = nil
      first = first + 1
    end
  end
  return sum
end

local sum = 0
for i = 1, math.max(1, 6 * scale // 100) do
  sum = (sum + count(tree(scale < 100 and 10 or 15))) % 1000000007
  sum = (sum + words(400 * scale)) % 1000000007
  sum = (sum + queue(600 * scale)) % 1000000007
end
print(sum)
