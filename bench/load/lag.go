package main

// lag remembers when this program's own event loop stood still: because it had much to do, or did not get its core. The
// kernel stamps arrivals, so our own work makes no answer late; but what holds this program up, on a machine of few
// cores, may hold up the kernel and the server too, and cannot be blamed on the server.
type lag struct {
	iterationAt int64
	stalls      [stallsKept]stall // a ring
	next        int
}

// stall is an iteration that took longer than one that waits as long as it may.
type stall struct{ from, until int64 }

const (
	stallsKept = 1024 // the longest wait for an answer has fewer worth keeping
	stallNs    = int64(tick) + 300_000
)

// note is called once in each iteration.
func (l *lag) note(now int64) {
	if l.iterationAt != 0 && now-l.iterationAt > stallNs {
		l.stalls[l.next%stallsKept] = stall{l.iterationAt, now}
		l.next++
	}
	l.iterationAt = now
}

// between returns the longest time that we stood still up to an instant, in iterations that reached into the span before it.
func (l *lag) between(from, until int64) int64 {
	longest := int64(0)
	if present := until - l.iterationAt; present > stallNs {
		longest = present
	}
	for i := l.next - 1; i >= max(0, l.next-stallsKept); i-- {
		s := l.stalls[i%stallsKept]
		if s.until <= from {
			break
		}
		longest = max(longest, min(s.until, until)-s.from)
	}
	return longest
}
