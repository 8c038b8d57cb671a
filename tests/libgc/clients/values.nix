# Recursion, attribute sets, strings; run with larger numbers as a benchmark.
# run: nix-instantiate --eval --strict --arg many 30000 --arg deep 18 FILE
# SPDX-License-Identifier: MIT
{ many, deep }:
let
  fib = n: if n < 2 then n else fib (n - 1) + fib (n - 2);
  list = builtins.genList (i: { name = "k${toString i}"; value = i * 2; }) many;
in {
  a = fib deep;
  b = builtins.length (builtins.attrNames (builtins.listToAttrs list));
  c = builtins.foldl' (a: b: a + b.value) 0 list;
  d = builtins.stringLength (builtins.concatStringsSep "," (map (x: x.name) list));
}
