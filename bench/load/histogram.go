package main

import (
	"math"
	"math/bits"
)

// Three significant digits, as HDR histograms keep them: 1 024 equal buckets in each doubling.
const (
	exactBits  = 11 // values below 2 048 have a bucket each
	halfBucket = 1 << (exactBits - 1)
	bucketSize = 1 << exactBits
)

// histogram counts microseconds in log-linear buckets; a value is off by at most 1/1024 of itself.
type histogram struct {
	counts [(64-exactBits)*halfBucket + bucketSize]int64
	total  int64
	max    int64
}

func (h *histogram) addNs(ns int64) {
	us := max(0, ns/1000)
	h.counts[bucketOf(us)]++
	h.total++
	h.max = max(h.max, us)
}

func bucketOf(us int64) int {
	shift := max(0, bits.Len64(uint64(us))-exactBits)
	return shift*halfBucket + int(us>>shift)
}

// highestOf is the largest value that bucketOf puts into the bucket.
func highestOf(bucket int) int64 {
	if bucket < bucketSize {
		return int64(bucket)
	}
	shift := bucket/halfBucket - 1
	return int64(bucket-shift*halfBucket+1)<<shift - 1
}

func (h *histogram) quantileMs(q float64) float64 {
	if h.total == 0 {
		return 0
	}
	rank := int64(math.Ceil(q * float64(h.total)))
	var seen int64
	for bucket, count := range h.counts {
		if seen += count; seen >= rank {
			return milliseconds(min(highestOf(bucket), h.max))
		}
	}
	return milliseconds(h.max)
}

func milliseconds(us int64) float64 { return float64(us) / 1000 }

// summary is what a report says of a histogram.
type summary struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50_ms"`
	P90   float64 `json:"p90_ms"`
	P99   float64 `json:"p99_ms"`
	P999  float64 `json:"p99_9_ms"`
	Max   float64 `json:"max_ms"`
}

func (h *histogram) summary() summary {
	return summary{
		Count: h.total,
		P50:   h.quantileMs(0.5),
		P90:   h.quantileMs(0.9),
		P99:   h.quantileMs(0.99),
		P999:  h.quantileMs(0.999),
		Max:   milliseconds(h.max),
	}
}
