// The set in Go: same work, same dice and same answers as ../cpp, in the words of Go.
//
//	PROGRAM impl benchmark key=value ...        prints one line of JSON
//
// SPDX-License-Identifier: MIT
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

var programs = map[string]func(){
	"trees": trees, "mix": mix, "graph": graph, "latency": latency,
	"large": large, "alloc": alloc, "mark": mark, "stops": stops,
}

func main() {
	if len(os.Args) < 3 || programs[os.Args[2]] == nil {
		fmt.Fprintln(os.Stderr, "usage: PROGRAM impl benchmark key=value ...")
		os.Exit(2)
	}
	fmt.Printf(`{"impl": "%s", "bench": "%s"`, os.Args[1], os.Args[2])
	programs[os.Args[2]]()
	reportStops()
	fmt.Println("}")
}

// size is the value of `key=` on the command line.
func size(key string) uint64 {
	for _, word := range os.Args[3:] {
		if !strings.HasPrefix(word, key+"=") {
			continue
		}
		if number, err := strconv.ParseUint(word[len(key)+1:], 10, 64); err == nil {
			return number
		}
	}
	fmt.Fprintf(os.Stderr, "missing %s=\n", key)
	os.Exit(2)
	return 0
}

func add(key string, value float64)  { fmt.Printf(`, "%s": %.9g`, key, value) }
func count(key string, value uint64) { fmt.Printf(`, "%s": %d`, key, value) }
func seconds(spent time.Duration)    { add("seconds", spent.Seconds()) }
func checksum(sum uint64)            { count("checksum", sum) }
func ns(spent time.Duration) float64 { return float64(spent.Nanoseconds()) }
func each(spent time.Duration, operations uint64) float64 {
	return ns(spent) / float64(operations)
}

// random is xorshift64*, as in ../../harness.hpp.
type random struct{ state uint64 }

func newRandom(seed uint64) random { return random{seed*0x9e3779b97f4a7c15 + 1} }

func (r *random) next() uint32 {
	r.state ^= r.state >> 12
	r.state ^= r.state << 25
	r.state ^= r.state >> 27
	return uint32((r.state * 0x2545f4914f6cdd1d) >> 32)
}

func (r *random) below(bound uint32) uint32 {
	return uint32((uint64(r.next()) * uint64(bound)) >> 32)
}
