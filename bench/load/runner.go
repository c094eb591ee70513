package main

import (
	"encoding/json"
	"fmt"
	"os"
	"syscall"
	"time"
)

// runner moves the client through the steps, on one thread.
type runner struct {
	client     *client
	schedule   schedule
	windows    []*counters
	current    int // the step whose window is next or open
	rampFrom   int64
	opened     int // closed loop: connections opened by the ramp
	nextTick   int64
	nextSecond int64
	draining   bool
	cold       bool // closed loop as wrk's: nothing waits until all connections are open, and nothing is waited for at the end
	seconds    []map[string]int64
}

func newRunner(c *client, start int64, steps []step) *runner {
	r := &runner{client: c, schedule: schedule{steps: steps}, rampFrom: start}
	for _, s := range steps {
		r.windows = append(r.windows, newCounters(s))
	}
	if steps[0].inFlight > 0 {
		c.onAnswer = r.askAgain
	}
	r.nextTick = steps[0].from
	r.nextSecond = start + secondNs
	return r
}

func (r *runner) run(stop <-chan os.Signal) {
	for {
		now := unixNow()
		r.client.beginIteration(now)
		r.openAndCloseWindows(now)
		r.sendWhatIsDue(now)
		r.client.poll(r.sleep())
		r.tickAndReport(unixNow())
		if r.draining && (r.cold || r.client.inFlight == 0) {
			return
		}
		select {
		case <-stop:
			r.abandon()
			return
		default:
		}
	}
}

// openAndCloseWindows reports to the harness, on stdout, when a measured window begins and ends.
func (r *runner) openAndCloseWindows(now int64) {
	if r.draining {
		return
	}
	t := r.windows[r.current]
	if r.client.window == nil && now >= t.step.measureFrom {
		r.client.window = t
		t.usage.begin(now)
		emit(windowEvent{Event: "begin", Step: r.current})
	}
	if r.client.window != nil && now >= t.step.until {
		t.usage.end(now)
		r.client.window = nil
		emit(windowEvent{Event: "end", Step: r.current, Answered: t.answered})
		r.current++
		r.draining = r.current == len(r.windows)
	}
}

func (r *runner) sendWhatIsDue(now int64) {
	if r.client.onAnswer != nil {
		r.ramp(now)
		return
	}
	for range sendBatch {
		at, ok := r.schedule.next()
		if !ok || at > now {
			return
		}
		step := r.schedule.current
		r.schedule.take()
		r.client.send(at, r.countersFor(step, at))
	}
}

func (r *runner) countersFor(step int, plannedAt int64) *counters {
	if t := r.windows[step]; plannedAt >= t.step.measureFrom {
		return t
	}
	return nil
}

// ramp opens a closed loop's connections one by one, with one request on each. No one asks again before all stand: a
// server under full load may leave new connections in its backlog for good (libuv accepts one in each turn of its loop).
func (r *runner) ramp(now int64) {
	s := r.windows[0].step
	if now < r.rampFrom {
		return
	}
	due := min(s.inFlight, int(float64(now-r.rampFrom)/secondNs*openRate))
	if r.cold {
		due = s.inFlight
	}
	for ; r.opened < due; r.opened++ {
		r.client.sendOnNew(now)
	}
	if r.opened < s.inFlight || r.draining {
		return
	}
	batch := min(sendBatch, r.client.owed)
	r.client.owed -= batch
	for range batch {
		r.client.send(now, r.client.window)
	}
}

func (r *runner) askAgain(now int64) {
	switch {
	case r.draining:
	case r.opened < r.windows[0].step.inFlight:
		r.client.owed++
	default:
		r.client.send(now, r.client.window)
	}
}

// sleep is how long nothing is due.
func (r *runner) sleep() time.Duration {
	if r.client.onAnswer != nil || r.draining {
		return time.Millisecond // only windows to open and close
	}
	if at, ok := r.schedule.next(); ok {
		return min(tick, time.Duration(at-unixNow()))
	}
	return tick
}

func (r *runner) tickAndReport(now int64) {
	if now >= r.nextTick {
		if w := r.client.window; w != nil {
			w.tickerLag.addNs(now - r.nextTick)
		}
		r.nextTick = now + int64(time.Millisecond)
	}
	if now >= r.nextSecond {
		r.nextSecond += secondNs
		r.client.loseOverdue(now)
		r.progress()
	}
}

func (r *runner) progress() {
	c := r.client
	line := fmt.Sprintf("in flight %5d  connections %5d ", c.inFlight, c.open)
	second := map[string]int64{}
	for i, total := range c.totals {
		if delta := total - c.lastTotals[i]; delta > 0 {
			line += fmt.Sprintf("  %s %d", outcomeNames[i], delta)
			second[outcomeNames[i]] = delta
		}
	}
	c.lastTotals = c.totals
	r.seconds = append(r.seconds, second)
	fmt.Fprintln(os.Stderr, line)
}

// abandon counts what is under way as unanswered: someone wants us to stop.
func (r *runner) abandon() {
	r.draining = true
	for _, connection := range r.client.connections {
		if connection != nil {
			r.client.lose(connection)
		}
	}
}

type windowEvent struct {
	Event    string `json:"event"`
	Step     int    `json:"step"`
	Answered int64  `json:"answered,omitempty"`
}

func emit(e windowEvent) {
	line, _ := json.Marshal(e)
	os.Stdout.Write(append(line, '\n'))
}

// report is the last line on stdout.
type report struct {
	Event             string             `json:"event"`
	Command           []string           `json:"command"`
	KernelTime        bool               `json:"kernel_time"`
	ConnectionsOpened int64              `json:"connections_opened"`
	Seconds           []map[string]int64 `json:"seconds"` // outcomes of each second from the first connection on
	Steps             []stepReport       `json:"steps"`
}

func (r *runner) report() report {
	result := report{
		Event:             "result",
		Command:           os.Args[1:],
		KernelTime:        r.client.kernelTime,
		ConnectionsOpened: r.client.opened,
		Seconds:           r.seconds,
	}
	for _, t := range r.windows {
		result.Steps = append(result.Steps, t.report())
	}
	return result
}

// usage measures this process's own CPU time over a window.
type usage struct{ cpu, wall int64 }

func (u *usage) begin(now int64) { u.cpu, u.wall = -cpuTime(), -now }
func (u *usage) end(now int64)   { u.cpu, u.wall = u.cpu+cpuTime(), u.wall+now }

func (u *usage) cpuShare() float64 { return float64(u.cpu) / float64(max(1, u.wall)) }

func cpuTime() int64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return used.Utime.Nano() + used.Stime.Nano()
}
