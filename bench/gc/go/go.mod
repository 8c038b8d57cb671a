// The Go programs of the set; no module but Go's own.
// SPDX-License-Identifier: MIT
module cairn.example/gcbench

go 1.19
