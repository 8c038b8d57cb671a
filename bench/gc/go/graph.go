// Pointer stores, large buffers, and objects that are garbage at once: ../cpp/graph.cpp, large.cpp, alloc.cpp.
// SPDX-License-Identifier: MIT
package main

import (
	"fmt"
	"os"
	"time"
)

type label struct{ words [4]uint64 }

type vertex struct {
	edges [4]*vertex
	label *label
	key   uint64
}

func build(count uint32, dice *random) []*vertex {
	table := make([]*vertex, count)
	for i := range table {
		table[i] = &vertex{label: &label{[4]uint64{uint64(i)}}, key: uint64(i)}
	}
	for _, v := range table {
		for i := range v.edges {
			v.edges[i] = table[dice.below(count)]
		}
	}
	return table
}

func write(table []*vertex, writes uint64) {
	const hot = 1024
	table = table[:hot]
	for i := uint64(0); i < writes; i++ {
		table[i%hot].edges[(i>>10)%4] = table[(i*7+(i>>10))%hot]
	}
}

func walk(table []*vertex, steps uint64, dice *random) (sum uint64) {
	at := table[0]
	for i := uint64(0); i < steps; i++ {
		toss := dice.next()
		next := at.edges[toss%4]
		other := table[dice.below(uint32(len(table)))]
		old := next.label
		next.edges[(toss>>2)%4] = other
		sum = sum*31 + old.words[0] + next.key
		next.label = &label{[4]uint64{sum}}
		at = next
	}
	return sum
}

func graph() {
	count, writes, steps := uint32(size("objects")), size("writes"), size("steps")
	dice := newRandom(1)
	start := time.Now()
	table := build(count, &dice)
	built := time.Now()
	write(table, writes)
	written := time.Now()
	sum := walk(table, steps, &dice)
	end := time.Now()
	seconds(end.Sub(start))
	checksum(sum)
	add("write_ns", each(written.Sub(built), writes))
	add("step_ns", each(end.Sub(written), steps))
}

func large() {
	buffers, bytes, touch := size("buffers"), size("bytes"), size("touch") != 0
	master := make([]byte, bytes)
	for i := range master {
		master[i] = 1
	}
	held := make([][]byte, size("window"))
	window := uint64(len(held))
	sum := uint64(0)
	start := time.Now()
	for i := uint64(0); i < buffers; i++ {
		buffer := make([]byte, bytes)
		value := byte(i % 100)
		if touch {
			copy(buffer, master)
		}
		buffer[0], buffer[bytes-1] = value, value
		if old := held[i%window]; old != nil {
			sum = sum*31 + uint64(old[0]) + uint64(old[bytes-1])
			if touch {
				sum += uint64(old[bytes/2])
			}
		}
		held[i%window] = buffer
	}
	spent := time.Since(start)
	seconds(spent)
	checksum(sum)
	add("each_us", each(spent, buffers)*1e-3)
}

type anchor struct{ value uint64 }

func alloc() {
	count := size("count")
	var run func(uint64) uint64
	switch size("bytes")*2 + size("typed") {
	case 32:
		run = plain16
	case 33:
		run = holders16
	case 64:
		run = plain32
	case 65:
		run = holders32
	case 128:
		run = plain64
	case 129:
		run = holders64
	case 512:
		run = plain256
	case 513:
		run = holders256
	default:
		fmt.Fprintln(os.Stderr, "bytes= wants 16, 32, 64 or 256")
		os.Exit(2)
	}
	start := time.Now()
	sum := run(count)
	spent := time.Since(start)
	seconds(spent)
	checksum(sum)
	add("each_ns", each(spent, count))
}
