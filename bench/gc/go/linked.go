// Live objects linked at random, and what runs beside them: ../cpp/linked.hpp, latency.cpp, mark.cpp, stops.cpp.
// SPDX-License-Identifier: MIT
package main

import (
	"math"
	"runtime"
	"sync/atomic"
	"time"
)

type linked struct {
	next, other *linked
	key         uint64
	rest        [5]uint64
}

func link(count uint32) *linked {
	table := make([]*linked, count)
	dice := newRandom(uint64(count))
	for i := range table {
		table[i] = &linked{key: uint64(i)}
	}
	for i := count - 1; i > 0; i-- {
		j := dice.below(i + 1)
		table[i], table[j] = table[j], table[i]
	}
	for i, object := range table {
		object.next = table[(i+1)%len(table)]
		object.other = table[dice.below(count)]
	}
	return table[0]
}

func (first *linked) roundTrip(count uint32) (sum uint64) {
	at := first
	for i := uint32(0); i < count; i++ {
		sum = sum*31 + at.key + at.other.key
		at = at.next
	}
	if at != first {
		return 0
	}
	return sum
}

const messageBytes = 1024

type message [messageBytes]byte

var master [messageBytes + 128]byte

func writeMessage(order uint64) *message {
	m := new(message)
	copy(m[:], master[order%128:])
	return m
}

var waits latencies

func latency() {
	objects, operations := uint32(size("objects")), size("operations")
	pace := time.Duration(size("pace_ns"))
	live := link(objects)
	ring := make([]*message, size("messages"))
	for i := range master {
		master[i] = byte(i % 101)
	}
	for i := range ring {
		ring[i] = writeMessage(uint64(i))
	}
	sum, slot := uint64(0), 0
	start := time.Now()
	due := time.Duration(0)
	for i := uint64(0); i < operations; i++ {
		if pace != 0 {
			due += pace
			for time.Since(start) < due {
			}
		}
		m := writeMessage(i)
		sum = sum*31 + uint64(ring[slot][i%messageBytes])
		ring[slot] = m
		if slot++; slot == len(ring) {
			slot = 0
		}
		done := time.Since(start)
		waits.add(uint64(done - due))
		if pace == 0 {
			due = done
		}
	}
	spent := time.Since(start)
	seconds(spent)
	checksum(sum + live.roundTrip(objects))
	add("mean_ns", each(spent, operations))
	waits.report()
}

func mark() {
	objects := uint32(size("objects"))
	live := link(objects)
	runtime.GC()
	least, all := time.Duration(math.MaxInt64), time.Duration(0)
	for i := uint64(0); i < size("rounds"); i++ {
		start := time.Now()
		runtime.GC()
		spent := time.Since(start)
		if spent < least {
			least = spent
		}
		all += spent
	}
	perSecond := float64(objects) / least.Seconds()
	seconds(all)
	checksum(live.roundTrip(objects))
	add("collect_ms", ns(least)*1e-6)
	add("million_per_s", perSecond*1e-6)
	add("gb_per_s", perSecond*64e-9)
}

var dropped *linked

func disturb(at *linked, done *uint32) (steps uint64) {
	for atomic.LoadUint32(done) == 0 {
		next := at.next
		at.other, next.other = next.other, at.other
		dropped = &linked{key: steps}
		at = next
		steps++
	}
	if steps == 0 {
		return 1 // it came too late for short cycles
	}
	return steps
}

func stops() {
	objects, most, limit := uint32(size("objects")), size("cycles"), time.Duration(size("seconds"))*time.Second
	live := link(objects)
	done := uint32(0)
	result := make(chan uint64)
	start := time.Now()
	go func() { result <- disturb(live, &done) }()
	cycles := uint64(0)
	for cycles < most && time.Since(start) < limit {
		runtime.GC()
		cycles++
	}
	atomic.StoreUint32(&done, 1)
	steps := <-result
	spent := time.Since(start)
	sum, at := uint64(0), live
	for i := uint32(0); i < objects; i++ {
		sum += at.key*31 + at.other.key
		at = at.next
	}
	seconds(spent)
	checksum(sum)
	count("forced", cycles)
	add("cycle_ms", ns(spent)*1e-6/float64(cycles))
	add("step_ns", each(spent, steps))
}
