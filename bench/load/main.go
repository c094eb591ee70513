// Command load asks a server for /api/smart and reports how it answered.
//
// Open loop (-rate): requests leave at fixed instants, whatever the answers do. Closed loop (-inflight): a fixed number
// is kept under way. Latency counts from the planned instant and from the actual sending; answers are stamped by the
// kernel as they arrive (SO_TIMESTAMPNS), so that this program's own lag makes no answer late.
//
// On stdout: a line of JSON as each measured window begins and ends (the harness samples the server's CPU then) and the
// results as the last line. On stderr: one line a second.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"syscall"
	"time"
)

const (
	tick        = 200 * time.Microsecond // the longest sleep: bounds how late a request leaves
	sendBatch   = 64                     // requests sent before answers are looked at again
	openRate    = 500.0                  // closed loop: connections opened per second before the load begins
	maxSeconds  = 600
	maxInFlight = 19_000 // descriptors
)

func main() {
	var s settings
	var inFlight, burstCount int
	var settle, burstAt float64
	rateText := flag.String("rate", "", "open loop: requests per second; several with commas are steps")
	flag.IntVar(&inFlight, "inflight", 0, "closed loop: requests kept in flight")
	secondsText := flag.String("seconds", "10", "measured time of each step; several with commas, the last for the rest")
	flag.Float64Var(&settle, "settle", 2, "time at each step's beginning that is not counted")
	flag.IntVar(&burstCount, "burst", 0, "requests that all leave at one instant")
	flag.Float64Var(&burstAt, "burst-at", 0, "that instant, in seconds after the first step's settling")
	timeoutText := flag.String("timeout", "0", "ms sent in the query, fixed or drawn (1-2000); 0 sends none")
	flag.IntVar(&s.maxConnections, "conns", 8000, "the most connections")
	flag.StringVar(&s.addr, "addr", "127.0.0.1:8080", "the server")
	flag.StringVar(&s.path, "path", "/api/smart", "the path asked for")
	flag.Uint64Var(&s.seed, "seed", 1, "the same seed draws the same timeouts and reopenings")
	cold := flag.Bool("cold", false, "closed loop: open all connections at once, each asks again at once, and end without waiting")
	flag.Float64Var(&s.reopen, "reopen", 0, "share of requests after which the connection is closed")
	flag.DurationVar(&s.giveUp, "give-up", 5*time.Second, "no answer so long after the timeout (or, without one, 15 s) is none")
	flag.BoolVar(&s.kernelTime, "kernel-time", true, "take answers' arrivals from the kernel")
	flag.BoolVar(&s.eachLate, "each-late", false, "report each answer that is later than this program's own lag accounts for")
	flag.Parse()

	rates, err := parseNumbers(defaultTo(*rateText, "0"))
	check(err)
	seconds, err := parseNumbers(*secondsText)
	check(err)
	s.timeout, err = parseSpan(*timeoutText)
	check(err)
	check(validate(rates, inFlight, seconds, s))
	if s.timeout.high == 0 {
		s.giveUp = max(s.giveUp, 15*time.Second)
	}
	runtime.LockOSThread()
	client, err := newClient(s)
	check(err)

	start := unixNow() + int64(50*time.Millisecond)
	ramp := int64(float64(inFlight) / openRate * secondNs)
	if *cold {
		ramp = 0
	}
	steps := plan(start+ramp, rates, inFlight, seconds, settle)
	runner := newRunner(client, start, steps)
	runner.cold = *cold
	runner.schedule.burst = burst{count: burstCount, at: steps[0].measureFrom + int64(burstAt*secondNs)}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	runner.run(stop)
	check(json.NewEncoder(os.Stdout).Encode(runner.report()))
}

func validate(rates []float64, inFlight int, seconds []float64, s settings) error {
	if (rates[0] > 0) == (inFlight > 0) {
		return errors.New("give either -rate (open loop) or -inflight (closed loop)")
	}
	total := 0.0
	for i := range rates {
		total += seconds[min(i, len(seconds)-1)]
	}
	if slices.Min(seconds) <= 0 || total > maxSeconds {
		return fmt.Errorf("-seconds: more than 0, and at most %d in all", maxSeconds)
	}
	if s.maxConnections < 1 || s.maxConnections > maxInFlight || inFlight > s.maxConnections {
		return fmt.Errorf("-conns: at least -inflight, at most %d", maxInFlight)
	}
	return nil
}

func defaultTo(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(2)
	}
}
