// Latencies in buckets, as in ../cpp/record.hpp, and what Go's own metrics say of its stops and assists.
// SPDX-License-Identifier: MIT
package main

import (
	"math"
	"math/bits"
	"runtime/metrics"
)

type latencies struct {
	buckets        [61 * 32]uint32
	samples, worst uint64
}

func (l *latencies) add(ns uint64) {
	shift := uint(0)
	if ns >= 64 {
		shift = uint(58 - bits.LeadingZeros64(ns))
	}
	l.buckets[shift*32+uint(ns>>shift)]++
	l.samples++
	if ns > l.worst {
		l.worst = ns
	}
}

func (l *latencies) quantile(share float64) float64 {
	seen := uint64(0)
	for bucket, samples := range l.buckets {
		seen += uint64(samples)
		if seen > 0 && float64(seen) >= share*float64(l.samples) {
			if bucket < 64 {
				return float64(bucket)
			}
			shift := uint(bucket/32 - 1)
			return float64((uint64(bucket)-uint64(shift)*32+1)<<shift - 1)
		}
	}
	return float64(l.worst)
}

func (l *latencies) report() {
	add("p50_ns", l.quantile(0.5))
	add("p99_ns", l.quantile(0.99))
	add("p999_ns", l.quantile(0.999))
	count("max_ns", l.worst)
}

// quantileOf is the upper end of the bucket in which `share` of a histogram of seconds is reached.
func quantileOf(h *metrics.Float64Histogram, share float64) float64 {
	total, seen := uint64(0), uint64(0)
	for _, samples := range h.Counts {
		total += samples
	}
	for i, samples := range h.Counts {
		seen += samples
		if seen > 0 && float64(seen) >= share*float64(total) {
			if top := h.Buckets[i+1]; !math.IsInf(top, 0) {
				return top * 1e9
			}
			return h.Buckets[i] * 1e9
		}
	}
	return 0
}

func reportStops() {
	samples := []metrics.Sample{{Name: "/gc/pauses:seconds"}, {Name: "/gc/cycles/total:gc-cycles"},
		{Name: "/cpu/classes/gc/mark/assist:cpu-seconds"}}
	metrics.Read(samples)
	if samples[0].Value.Kind() == metrics.KindFloat64Histogram {
		stops := samples[0].Value.Float64Histogram()
		total := uint64(0)
		for _, n := range stops.Counts {
			total += n
		}
		count("stops", total)
		if total > 0 {
			add("stop_p50_ns", quantileOf(stops, 0.5))
			add("stop_p999_ns", quantileOf(stops, 0.999))
			add("stop_max_ns", quantileOf(stops, 1))
		}
	}
	if samples[1].Value.Kind() == metrics.KindUint64 {
		count("cycles", samples[1].Value.Uint64())
	}
	if samples[2].Value.Kind() == metrics.KindFloat64 { // Go 1.20 and later
		add("assist_ms", samples[2].Value.Float64()*1e3)
	}
}
