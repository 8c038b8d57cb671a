// Binary trees and the GCBench-like mix: ../cpp/trees.cpp and ../cpp/mix.cpp say what they do.
// SPDX-License-Identifier: MIT
package main

import (
	"sync"
	"time"
)

type tree struct{ left, right *tree }

func bottomUp(depth uint64) *tree {
	if depth == 0 {
		return &tree{}
	}
	left := bottomUp(depth - 1)
	right := bottomUp(depth - 1)
	return &tree{left, right}
}

func (t *tree) count() uint64 {
	if t.left == nil {
		return 1
	}
	return 1 + t.left.count() + t.right.count()
}

func share(depth, index, threads uint64) (nodes uint64) {
	for d := uint64(4); d <= depth; d += 2 {
		trees := uint64(1) << (depth - d + 4)
		for i := index; i < trees; i += threads {
			nodes += bottomUp(d).count()
		}
	}
	return nodes
}

func trees() {
	depth, threads := size("depth"), size("threads")
	start := time.Now()
	nodes := bottomUp(depth + 1).count()
	lasting := bottomUp(depth)
	if threads == 1 {
		nodes += share(depth, 0, 1)
	} else {
		var all sync.WaitGroup
		counts := make([]uint64, threads)
		for index := range counts {
			all.Add(1)
			go func(index int) {
				counts[index] = share(depth, uint64(index), threads)
				all.Done()
			}(index)
		}
		all.Wait()
		for _, n := range counts {
			nodes += n
		}
	}
	nodes += lasting.count()
	seconds(time.Since(start))
	checksum(nodes)
}

type node struct {
	left, right  *node
	depth, order int32
}

func (n *node) grow(depth uint64) {
	if depth == 0 {
		return
	}
	n.left = &node{depth: int32(depth), order: 1}
	n.right = &node{depth: int32(depth), order: 2}
	n.left.grow(depth - 1)
	n.right.grow(depth - 1)
}

func fromTop(depth uint64) *node {
	root := &node{depth: int32(depth), order: 3}
	root.grow(depth)
	return root
}

func fromBottom(depth uint64) *node {
	if depth == 0 {
		return &node{order: 4}
	}
	left := fromBottom(depth - 1)
	right := fromBottom(depth - 1)
	return &node{left, right, int32(depth), 5}
}

func (n *node) path() (sum uint64) {
	left := true
	for at := n; at != nil; left = !left {
		sum = sum*3 + uint64(at.depth*8+at.order)
		if left {
			at = at.left
		} else {
			at = at.right
		}
	}
	return sum
}

func nodesOf(depth uint64) uint64 { return 2<<depth - 1 }

func mix() {
	depth, numbers, share := size("depth"), size("numbers"), size("share")
	start := time.Now()
	sum := fromBottom(depth).path()
	lasting := fromTop(depth - 2)
	array := make([]float64, numbers)
	for i := uint64(1); i <= numbers/2; i++ {
		array[i] = 1 / float64(i)
	}
	for d := uint64(4); d <= depth-2; d += 2 {
		trees := share * nodesOf(depth) / nodesOf(d)
		for i := uint64(0); i < trees; i++ {
			sum += fromTop(d).path()
		}
		for i := uint64(0); i < trees; i++ {
			sum += fromBottom(d).path()
		}
	}
	sum += lasting.path() + uint64(array[1000]*1e6)
	seconds(time.Since(start))
	checksum(sum)
}
