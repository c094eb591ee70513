// Command upstream is the slow, unreliable service of the benchmarks: GET /api/work answers after a random time, and
// sometimes wrongly. It has the distribution of `hedgerow simulate`, at about 18 µs a request, most of it the
// kernel's: the simulator, not the gateway, would else be what is measured at the rates of W2 and W3.
//
// One thread: an epoll loop and a wheel of answers that fall due, in slots of one millisecond.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"hedgerow/bench/epoll"
)

const (
	slotCount      = 16384 // more than the longest latency, in slots
	slot           = time.Millisecond
	maxDescriptors = 20_000
	readBytes      = 64 * 1024
	maxHeadBytes   = 8 * 1024
)

var endOfHead = []byte("\r\n\r\n")

type span struct{ low, high int }

// connection has at most one request at work; what its client sent beyond that waits in partial.
type connection struct {
	fd      int
	busy    bool
	closed  bool
	partial []byte
	answer  []byte
}

type faults struct{ errors, malformed float64 }

type upstream struct {
	poller      *epoll.Poller
	receiver    *epoll.Receiver
	listener    int
	connections []*connection
	wheel       [slotCount][]*connection
	turned      int64 // slots answered so far, since started
	started     time.Time
	random      *rand.Rand
	latency     span
	faults      faults
	answered    int64
}

func main() {
	addr := flag.String("addr", "127.0.0.1:9000", "where to listen")
	latencyMs := flag.String("latency-ms", "100-600", "how long an answer takes, drawn evenly")
	errorRate := flag.Float64("error-rate", 0.1, "share of answers that are a 500")
	malformedRate := flag.Float64("malformed-rate", 0.02, "share of answers that are a 200 whose body is not JSON")
	seed := flag.Uint64("seed", 1, "the same seed draws the same sequence")
	flag.Parse()
	latency, err := parseSpan(*latencyMs)
	if err != nil {
		fail(err)
	}
	server, err := newUpstream(*addr)
	if err != nil {
		fail(err)
	}
	server.latency = latency
	server.faults = faults{errors: *errorRate, malformed: *malformedRate}
	server.random = rand.New(rand.NewPCG(*seed, 0))

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	fmt.Printf("upstream: answering on http://%s/api/work (seed %d)\n", *addr, *seed)
	server.run(stop)
	fmt.Fprintf(os.Stderr, "upstream: %d answers\n", server.answered)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "upstream:", err)
	os.Exit(2)
}

func parseSpan(text string) (span, error) {
	low, high, isSpan := strings.Cut(text, "-")
	if !isSpan {
		high = low
	}
	from, err := strconv.Atoi(low)
	if err != nil {
		return span{}, err
	}
	to, err := strconv.Atoi(high)
	if err != nil {
		return span{}, err
	}
	if from < 0 || to < from || to >= slotCount {
		return span{}, fmt.Errorf("latency %q: from 0 to at most %d ms", text, slotCount-1)
	}
	return span{from, to}, nil
}

func newUpstream(addr string) (*upstream, error) {
	poller, err := epoll.NewPoller()
	if err != nil {
		return nil, err
	}
	listener, err := epoll.Listen(addr)
	if err != nil {
		return nil, err
	}
	if err := poller.Add(listener, syscall.EPOLLIN); err != nil {
		return nil, err
	}
	return &upstream{
		poller:      poller,
		receiver:    epoll.NewReceiver(readBytes),
		listener:    listener,
		connections: make([]*connection, maxDescriptors),
		started:     time.Now(),
	}, nil
}

func (u *upstream) run(stop <-chan os.Signal) {
	for {
		for _, event := range u.poller.Wait(slot) {
			if int(event.Fd) == u.listener {
				u.accept()
			} else if c := u.connections[event.Fd]; c != nil {
				u.read(c)
			}
		}
		u.answerWhatIsDue()
		select {
		case <-stop:
			return
		default:
		}
	}
}

func (u *upstream) accept() {
	for {
		fd, _, err := syscall.Accept4(u.listener, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
		if err != nil {
			return // EAGAIN, or no descriptor left: the client waits in the backlog
		}
		if fd >= maxDescriptors || epoll.NoDelay(fd) != nil || u.poller.Add(fd, syscall.EPOLLIN) != nil {
			syscall.Close(fd)
			continue
		}
		u.connections[fd] = &connection{fd: fd}
	}
}

func (u *upstream) close(c *connection) {
	c.closed = true // the wheel may still hold it
	u.connections[c.fd] = nil
	syscall.Close(c.fd)
}

func (u *upstream) read(c *connection) {
	data, _, errno := u.receiver.Read(c.fd)
	if errno == syscall.EAGAIN {
		return
	}
	if errno != 0 || len(data) == 0 || len(c.partial)+len(data) > maxHeadBytes {
		u.close(c)
		return
	}
	if c.busy || len(c.partial) > 0 || !bytes.HasSuffix(data, endOfHead) {
		c.partial = append(c.partial, data...)
		u.startNext(c)
		return
	}
	u.start(c) // the usual case: one whole request, nothing copied
}

func (u *upstream) startNext(c *connection) {
	if c.busy {
		return
	}
	if end := bytes.Index(c.partial, endOfHead); end >= 0 {
		c.partial = c.partial[:copy(c.partial, c.partial[end+len(endOfHead):])]
		u.start(c)
	}
}

func (u *upstream) start(c *connection) {
	took := u.latency.low + u.random.IntN(u.latency.high-u.latency.low+1)
	c.busy = true
	c.answer = u.appendAnswer(c.answer[:0], took)
	if took == 0 {
		u.finish(c)
		return
	}
	due := int64(time.Since(u.started)/slot) + int64(took) + 1 // never early
	u.wheel[due%slotCount] = append(u.wheel[due%slotCount], c)
}

func (u *upstream) appendAnswer(b []byte, took int) []byte {
	draw := u.random.Float64()
	switch {
	case draw < u.faults.errors:
		return append(b, "HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nerror"...)
	case draw < u.faults.errors+u.faults.malformed:
		return append(b, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{\"time\": "...)
	}
	body := strconv.AppendInt(make([]byte, 0, 20), int64(took), 10) // stays on the stack
	b = append(b, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(body)+len(`{"time":}`)), 10)
	b = append(b, "\r\n\r\n{\"time\":"...)
	return append(append(b, body...), '}')
}

func (u *upstream) answerWhatIsDue() {
	for now := int64(time.Since(u.started) / slot); u.turned <= now; u.turned++ {
		due := &u.wheel[u.turned%slotCount]
		for _, c := range *due {
			if !c.closed {
				u.finish(c)
			}
		}
		*due = (*due)[:0]
	}
}

func (u *upstream) finish(c *connection) {
	c.busy = false
	u.answered++
	if n, errno := epoll.Write(c.fd, c.answer); errno != 0 || n != len(c.answer) {
		u.close(c) // gone, or does not read: a benchmark's client does
		return
	}
	if len(c.partial) > 0 {
		u.startNext(c)
	}
}
