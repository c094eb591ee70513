package main

import (
	"fmt"
	"strconv"
	"strings"
)

const secondNs = 1_000_000_000

// step is one stretch of constant load; instants are Unix nanoseconds.
type step struct {
	rate        float64 // requests per second; 0 in a closed loop
	inFlight    int     // requests kept in flight; 0 in an open loop
	from        int64
	measureFrom int64 // what is planned earlier settles the server and is not counted
	until       int64
}

// burst is a number of requests that all leave at one instant of the first step.
type burst struct {
	count int
	at    int64
}

// schedule returns when each request of an open loop leaves. It never looks at answers: a slow server gets no mercy.
type schedule struct {
	steps   []step
	current int
	sent    int64 // of the current step
	burst   burst
}

// next is the instant the next request is due, or ok=false after the last.
func (s *schedule) next() (at int64, ok bool) {
	for s.current < len(s.steps) {
		at = s.dueInStep()
		if at < s.steps[s.current].until {
			if s.burst.count > 0 && s.burst.at <= at {
				return s.burst.at, true
			}
			return at, true
		}
		s.current++
		s.sent = 0
	}
	return 0, false
}

func (s *schedule) dueInStep() int64 {
	step := s.steps[s.current]
	if step.rate == 0 {
		return step.until
	}
	return step.from + int64(float64(s.sent)*secondNs/step.rate)
}

// take removes what next returned.
func (s *schedule) take() {
	if s.burst.count > 0 && s.burst.at <= s.dueInStep() {
		s.burst.count--
		return
	}
	s.sent++
}

// plan lays steps end to end; where fewer lengths than rates are given, the last holds for the rest.
func plan(start int64, rates []float64, inFlight int, seconds []float64, settle float64) []step {
	var steps []step
	for i, rate := range rates {
		measureFrom := start + int64(settle*secondNs)
		until := measureFrom + int64(seconds[min(i, len(seconds)-1)]*secondNs)
		steps = append(steps, step{rate: rate, inFlight: inFlight, from: start, measureFrom: measureFrom, until: until})
		start = until
	}
	return steps
}

func parseNumbers(text string) ([]float64, error) {
	var numbers []float64
	for _, part := range strings.Split(text, ",") {
		number, err := strconv.ParseFloat(part, 64)
		if err != nil || number < 0 {
			return nil, fmt.Errorf("%q: a number, or several with commas", part)
		}
		numbers = append(numbers, number)
	}
	return numbers, nil
}

// span is a range of whole milliseconds; 0 to 0 means: no timeout is sent.
type span struct{ low, high int }

func parseSpan(text string) (span, error) {
	low, high, isSpan := strings.Cut(text, "-")
	if !isSpan {
		high = low
	}
	from, errLow := strconv.Atoi(low)
	to, errHigh := strconv.Atoi(high)
	if errLow != nil || errHigh != nil || from < 0 || to < from {
		return span{}, fmt.Errorf("timeout %q: milliseconds, as 800 or 1-2000", text)
	}
	return span{from, to}, nil
}
