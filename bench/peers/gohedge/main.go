// Command gohedge is the gateway as a Go programmer would write it with net/http: the peer of the same shape.
// GET /api/smart?timeout=MS asks the upstream; without a success at 300 ms it asks twice more; the first success answers.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

const (
	hedgeAfter     = 300 * time.Millisecond
	hedges         = 2
	defaultTimeout = 10 * time.Second
	loserGrace     = time.Second // as long as hedgerow lets a loser run on
	maxBodyBytes   = 64 * 1024
)

var errNoSuccess = errors.New("not a success")

type gateway struct {
	client      *http.Client
	upstream    string
	drainLosers bool
}

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "where to answer")
	upstream := flag.String("upstream", "http://127.0.0.1:9000/api/work", "whom to ask")
	losers := flag.String("losers", "cancel", "cancel or drain")
	flag.Parse()
	g := &gateway{
		upstream:    *upstream,
		drainLosers: *losers == "drain",
		client: &http.Client{Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: time.Second}).DialContext,
			MaxIdleConns:        0, // no bound
			MaxIdleConnsPerHost: 16384,
			IdleConnTimeout:     60 * time.Second,
			DisableCompression:  true,
		}},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/smart", g.smart)
	server := &http.Server{Addr: *listen, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	fmt.Fprintln(os.Stderr, server.ListenAndServe())
	os.Exit(1)
}

func (g *gateway) smart(w http.ResponseWriter, r *http.Request) {
	timeout, err := parseTimeout(r.URL.Query().Get("timeout"))
	if err != nil {
		problem(w, http.StatusBadRequest, "bad_timeout")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	body, err := g.race(ctx)
	switch {
	case err == nil:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	case errors.Is(err, context.DeadlineExceeded):
		problem(w, http.StatusGatewayTimeout, "out_of_time")
	default:
		problem(w, http.StatusBadGateway, "all_failed")
	}
}

func parseTimeout(text string) (time.Duration, error) {
	if text == "" {
		return defaultTimeout, nil
	}
	ms, err := strconv.Atoi(text)
	if err != nil || ms < 1 {
		return 0, errors.New("timeout: whole milliseconds, at least 1")
	}
	return time.Duration(ms) * time.Millisecond, nil
}

func problem(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"status":%d,"code":%q}`, status, code)
}

type outcome struct {
	body []byte
	err  error
}

// race answers with the first success of up to three attempts; a failure does not end it.
func (g *gateway) race(ctx context.Context) ([]byte, error) {
	results := make(chan outcome, 1+hedges)
	launch := func() { go func() { results <- g.attempt(ctx) }() }
	launch()
	running, hedged := 1, false
	timer := time.NewTimer(hedgeAfter)
	defer timer.Stop()
	for running > 0 || !hedged {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timer.C:
			hedged = true
			for range hedges {
				launch()
				running++
			}
		case result := <-results:
			running--
			if result.err == nil {
				return result.body, nil
			}
		}
	}
	return nil, errNoSuccess
}

func (g *gateway) attempt(ctx context.Context) outcome {
	if g.drainLosers {
		// Not tied to the request: a loser reads its answer, so that its connection can be used again.
		deadline, _ := ctx.Deadline()
		var stop context.CancelFunc
		ctx, stop = context.WithDeadline(context.WithoutCancel(ctx), deadline.Add(loserGrace))
		defer stop()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, g.upstream, nil)
	if err != nil {
		return outcome{err: err}
	}
	response, err := g.client.Do(request)
	if err != nil {
		return outcome{err: err}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBodyBytes))
	if err != nil {
		return outcome{err: err}
	}
	var payload struct {
		Time *float64 `json:"time"`
	}
	if response.StatusCode != http.StatusOK || json.Unmarshal(body, &payload) != nil || payload.Time == nil {
		return outcome{err: errNoSuccess}
	}
	return outcome{body: body}
}
