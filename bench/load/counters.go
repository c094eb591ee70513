package main

// outcome: each request has exactly one. An answer that came too late is late, whatever it says.
type outcome int

const (
	good outcome = iota
	late
	badBody // 200 in time, but not a JSON object with "time"
	status502
	status503
	status504
	otherStatus
	noAnswer // the connection broke, or nothing came until we gave up
	notSent  // due, but every connection we may open was busy
	outcomes
)

var outcomeNames = [outcomes]string{
	"good", "late", "bad_body", "502", "503", "504", "other_status", "no_answer", "not_sent",
}

func outcomeOf(a answer) outcome {
	switch {
	case a.isSuccess():
		return good
	case a.status == 200:
		return badBody
	case a.status == 502:
		return status502
	case a.status == 503:
		return status503
	case a.status == 504:
		return status504
	}
	return otherStatus
}

// counters are what was seen of the requests planned in one step's window.
type counters struct {
	step         step
	counts       [outcomes]int64
	lateStatus   map[int]int64
	lateBy       histogram // beyond the timeout, counted from when the request had surely left
	fromSend     histogram // answers of any kind
	fromPlan     histogram
	goodOnly     histogram // good answers, from send
	refused      histogram // answers with status 503, from send
	sendLag      histogram // own lag: actual minus planned departure
	tickerLag    histogram // own lag: how late the event loop came round to a due tick
	answered     int64     // answers that arrived inside the window, whenever they were asked
	lateOver25   int64
	lateShort    int64     // asked with a short timeout, which one long event loop iteration takes
	lateBeyond   histogram // late by more than our own lag at that moment, by so much; short timeouts apart
	shortBeyond  int64     // the same with short timeouts
	rejectedLate histogram // 503s later than a quarter of their timeout and our own lag at that moment, by so much
	lateOnes     []lateOne
	rejectedOnes []lateOne // the same of rejectedLate
	inFlightMax  int
	usage        usage // own CPU in the window
}

func newCounters(s step) *counters { return &counters{step: s, lateStatus: map[int]int64{}} }

func (t *counters) planned() int64 {
	var sum int64
	for _, count := range t.counts {
		sum += count
	}
	return sum
}

// lateReport describes how late late answers were.
type lateReport struct {
	Count    int64         `json:"count"`
	Over25ms int64         `json:"over_25_ms"`
	Short    int64         `json:"short_timeouts"`
	Beyond   beyondReport  `json:"beyond_own_lag"`
	WorstMs  float64       `json:"worst_ms"`
	P99Ms    float64       `json:"p99_ms"`
	Statuses map[int]int64 `json:"statuses"`
}

// shortTimeoutMs: below it a timeout is reported apart from the others.
const shortTimeoutMs = 25

func (t *counters) beyondLag(ns int64, isShort bool) {
	if isShort {
		t.shortBeyond++
	} else {
		t.lateBeyond.addNs(ns)
	}
}

// lateOne is an answer later than our own lag accounts for: when it came (Unix time), by how much it was late, and that
// lag, in nanoseconds. Who knows when the server's core stood still can judge it by them.
type lateOne [3]int64

// lateOnesKept of a step are reported: more say that the server is late, whatever the machine did.
const lateOnesKept = 10_000

func keepLate(ones []lateOne, one lateOne) []lateOne {
	if len(ones) < lateOnesKept {
		return append(ones, one)
	}
	return ones
}

// beyondReport is what of the late answers our own lag at that moment does not account for.
type beyondReport struct {
	Count   int64   `json:"count"` // timeouts of at least shortTimeoutMs
	WorstMs float64 `json:"worst_ms"`
	Short   int64   `json:"short_timeouts"`

	Each []lateOne `json:"each,omitempty"` // of the count, if they are asked for
}

// ownReport is the generator's own noise in the same window: what it says is worth no more than this is small.
type ownReport struct {
	SendLag   summary `json:"send_lag"`
	TickerLag summary `json:"ticker_lag"`
	CPUShare  float64 `json:"cpu_share"`
}

// stepReport is one step's result, in the final JSON.
type stepReport struct {
	Rate         float64          `json:"rate"`
	InFlight     int              `json:"in_flight,omitempty"`
	Seconds      float64          `json:"seconds"`
	Planned      int64            `json:"planned"`
	Answered     int64            `json:"answered_in_window"`
	GoodShare    float64          `json:"good_share"`
	Outcomes     map[string]int64 `json:"outcomes"`
	Late         lateReport       `json:"late"`
	FromSend     summary          `json:"latency_from_send"`
	FromPlan     summary          `json:"latency_from_plan"`
	GoodLatency  summary          `json:"latency_of_good"`
	Refused      summary          `json:"latency_of_refused"`
	RejectedLate summary          `json:"rejected_after_a_quarter"`                // of the timeout, beyond our own lag; by so much
	RejectedEach []lateOne        `json:"each_rejected_after_a_quarter,omitempty"` // if they are asked for
	InFlightMax  int              `json:"in_flight_max"`
	Own          ownReport        `json:"own"`
}

func (t *counters) lateReport() lateReport {
	return lateReport{
		Count:    t.lateBy.total,
		Over25ms: t.lateOver25,
		Short:    t.lateShort,
		Beyond:   beyondReport{t.lateBeyond.total, milliseconds(t.lateBeyond.max), t.shortBeyond, t.lateOnes},
		WorstMs:  milliseconds(t.lateBy.max),
		P99Ms:    t.lateBy.quantileMs(0.99),
		Statuses: t.lateStatus,
	}
}

func (t *counters) report() stepReport {
	seconds := float64(t.step.until-t.step.measureFrom) / 1e9
	named := map[string]int64{}
	for i, count := range t.counts {
		named[outcomeNames[i]] = count
	}
	return stepReport{
		Rate:         t.step.rate,
		InFlight:     t.step.inFlight,
		Seconds:      seconds,
		Planned:      t.planned(),
		Answered:     t.answered,
		GoodShare:    float64(t.counts[good]) / float64(max(1, t.planned())),
		Outcomes:     named,
		Late:         t.lateReport(),
		FromSend:     t.fromSend.summary(),
		FromPlan:     t.fromPlan.summary(),
		GoodLatency:  t.goodOnly.summary(),
		Refused:      t.refused.summary(),
		RejectedLate: t.rejectedLate.summary(),
		RejectedEach: t.rejectedOnes,
		InFlightMax:  t.inFlightMax,
		Own: ownReport{
			SendLag:   t.sendLag.summary(),
			TickerLag: t.tickerLag.summary(),
			CPUShare:  t.usage.cpuShare(),
		},
	}
}
