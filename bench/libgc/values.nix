# Nix: recursion, attribute sets, strings.
# SPDX-License-Identifier: MIT
let
  fib = n: if n < 2 then n else fib (n - 1) + fib (n - 2);
  list = builtins.genList (i: { name = "k${toString i}"; value = i * 2; }) 400000;
in {
  a = fib 26;
  b = builtins.length (builtins.attrNames (builtins.listToAttrs list));
  c = builtins.foldl' (a: b: a + b.value) 0 list;
  d = builtins.stringLength (builtins.concatStringsSep "," (map (x: x.name) list));
}
