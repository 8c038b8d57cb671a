// The loops of ../loops.cpp in Go; `PROGRAM STEPS heap` makes every object escape, as without the analysis.
//
// SPDX-License-Identifier: MIT
package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"time"
)

type vec3 struct{ x, y, z float64 }
type buffer struct{ bytes [256]byte }

func newVec(x, y, z float64) *vec3 { return &vec3{x, y, z} }

//go:noinline
func heapVec(x, y, z float64) *vec3 { return &vec3{x, y, z} }

//go:noinline
func heapBuffer() *buffer { return &buffer{} }

func add(a, b *vec3) *vec3               { return newVec(a.x+b.x, a.y+b.y, a.z+b.z) }
func scale(a *vec3, k float64) *vec3     { return newVec(a.x*k, a.y*k, a.z*k) }
func addHeap(a, b *vec3) *vec3           { return heapVec(a.x+b.x, a.y+b.y, a.z+b.z) }
func scaleHeap(a *vec3, k float64) *vec3 { return heapVec(a.x*k, a.y*k, a.z*k) }

//go:noinline
func dot(a, b *vec3) float64 { return a.x*b.x + a.y*b.y + a.z*b.z }

//go:noinline
func fill(b *buffer, seed int64) {
	for i := 0; i < 256; i += 8 {
		binary.LittleEndian.PutUint64(b.bytes[i:], uint64(seed+int64(i)))
	}
}

func temporaries(steps int64) float64 {
	sum := 0.0
	for i := int64(0); i < steps; i++ {
		p := newVec(float64(i), 1, 2)
		q := add(p, scale(p, 0.5))
		sum += q.x + q.y + q.z
	}
	return sum
}

func temporariesHeap(steps int64) float64 {
	sum := 0.0
	for i := int64(0); i < steps; i++ {
		p := heapVec(float64(i), 1, 2)
		q := addHeap(p, scaleHeap(p, 0.5))
		sum += q.x + q.y + q.z
	}
	return sum
}

func passed(steps int64) float64 {
	sum := 0.0
	for i := int64(0); i < steps; i++ {
		sum += dot(newVec(float64(i), 1, 2), newVec(1, 2, 3))
	}
	return sum
}

func passedHeap(steps int64) float64 {
	sum := 0.0
	for i := int64(0); i < steps; i++ {
		sum += dot(heapVec(float64(i), 1, 2), heapVec(1, 2, 3))
	}
	return sum
}

func buffers(steps int64) float64 {
	sum := int64(0)
	for i := int64(0); i < steps; i++ {
		b := &buffer{}
		fill(b, i)
		sum += int64(b.bytes[i&255])
	}
	return float64(sum)
}

func buffersHeap(steps int64) float64 {
	sum := int64(0)
	for i := int64(0); i < steps; i++ {
		b := heapBuffer()
		fill(b, i)
		sum += int64(b.bytes[i&255])
	}
	return float64(sum)
}

func main() {
	steps := int64(5000000)
	if len(os.Args) > 1 {
		steps, _ = strconv.ParseInt(os.Args[1], 10, 64)
	}
	names := []string{"temporaries", "passed", "buffers"}
	loops := []func(int64) float64{temporaries, passed, buffers}
	if len(os.Args) > 2 && os.Args[2] == "heap" {
		loops = []func(int64) float64{temporariesHeap, passedHeap, buffersHeap}
	}
	for at, loop := range loops {
		best, sum := time.Hour, 0.0
		for repeat := 0; repeat < 5; repeat++ {
			begin := time.Now()
			sum = loop(steps)
			if taken := time.Since(begin); taken < best {
				best = taken
			}
		}
		fmt.Printf("%s %.3f %.17g\n", names[at], float64(best.Nanoseconds())/float64(steps), sum)
	}
}
