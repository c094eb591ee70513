package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"syscall"
	"time"

	"hedgerow/bench/epoll"
)

const (
	readBytes      = 64 * 1024
	maxAnswerBytes = 256 * 1024
	maxHeadBytes   = 8 * 1024
	sourceCount    = 8 // 127.0.0.1 ... 127.0.0.8: 28 000 ports each
	ipBindNoPort   = 24
)

// settings are the command line's.
type settings struct {
	addr           string
	path           string
	timeout        span
	maxConnections int
	reopen         float64
	seed           uint64
	giveUp         time.Duration
	kernelTime     bool
	eachLate       bool
}

// request is one that is under way. Instants are Unix nanoseconds.
type request struct {
	counters  *counters // nil while a step settles
	plannedAt int64
	sendingAt int64 // just before the write
	sentAt    int64 // just after: the request has surely left
	timeoutMs int
	held      bool // until its connection stands
}

type state int

const (
	idle state = iota
	connecting
	waiting
	closed
)

type connection struct {
	fd      int
	state   state
	request request
	partial []byte
}

// client sends requests over connections that it opens as needed and keeps.
type client struct {
	settings
	server      *syscall.SockaddrInet4
	poller      *epoll.Poller
	receiver    *epoll.Receiver
	random      *rand.Rand
	connections []*connection // by descriptor
	idle        []*connection // last in, first out: the warmest first
	open        int
	opened      int64
	inFlight    int
	message     []byte // the request being written
	lowered     []byte // room for a head in lower case
	lag         lag
	turnedAt    int64     // when the poll that brought the present events was entered: none of them was there before
	window      *counters // whose window it is now, or nil
	lastTotals  [outcomes]int64
	totals      [outcomes]int64
	onAnswer    func(now int64) // closed loop: ask again
	owed        int             // closed loop: requests lost, to be asked again in the next turn
}

func newClient(s settings) (*client, error) {
	server, err := epoll.Address(s.addr)
	if err != nil {
		return nil, err
	}
	poller, err := epoll.NewPoller()
	if err != nil {
		return nil, err
	}
	return &client{
		settings:    s,
		server:      server,
		poller:      poller,
		receiver:    epoll.NewReceiver(readBytes),
		random:      rand.New(rand.NewPCG(s.seed, 0)),
		connections: make([]*connection, s.maxConnections+64),
		lowered:     make([]byte, maxHeadBytes),
	}, nil
}

// unixNow is the wall clock, because the kernel stamps arrivals by it.
func unixNow() int64 { return time.Now().UnixNano() }

// send lets one request leave, on an idle connection or a new one.
func (c *client) send(plannedAt int64, t *counters) {
	r := request{counters: t, plannedAt: plannedAt, timeoutMs: c.drawTimeout()}
	connection := c.takeIdle()
	if connection == nil {
		if connection = c.connect(); connection == nil {
			c.owed++
			c.count(r, notSent)
			return
		}
	}
	c.start(connection, r)
}

// sendOnNew lets a request leave on a new connection, though others may be idle; it is not counted.
func (c *client) sendOnNew(now int64) {
	if connection := c.connect(); connection != nil {
		c.start(connection, request{plannedAt: now, timeoutMs: c.drawTimeout()})
	} else {
		c.owed++
	}
}

func (c *client) start(connection *connection, r request) {
	c.inFlight++
	if c.window != nil {
		c.window.inFlightMax = max(c.window.inFlightMax, c.inFlight)
	}
	connection.request = r
	c.write(connection)
}

func (c *client) drawTimeout() int {
	if c.timeout.high == c.timeout.low {
		return c.timeout.low
	}
	return c.timeout.low + c.random.IntN(c.timeout.high-c.timeout.low+1)
}

func (c *client) takeIdle() *connection {
	for len(c.idle) > 0 {
		last := c.idle[len(c.idle)-1]
		c.idle = c.idle[:len(c.idle)-1]
		if last.state == idle {
			return last
		}
	}
	return nil
}

// connect opens a connection, or returns nil where the bound is reached. On loopback it is usually usable at once.
func (c *client) connect() *connection {
	if c.open >= c.maxConnections {
		return nil
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	if fd >= len(c.connections) || c.prepare(fd) != nil {
		syscall.Close(fd)
		return nil
	}
	c.open++
	c.opened++
	connection := &connection{fd: fd, state: connecting}
	c.connections[fd] = connection
	return connection
}

func (c *client) prepare(fd int) error {
	if err := epoll.NoDelay(fd); err != nil {
		return err
	}
	if c.kernelTime {
		if err := epoll.StampArrivals(fd); err != nil {
			return err
		}
	}
	if c.server.Addr == [4]byte{127, 0, 0, 1} {
		if err := syscall.SetsockoptInt(fd, syscall.IPPROTO_IP, ipBindNoPort, 1); err != nil {
			return err
		}
		source := syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, byte(1 + c.opened%sourceCount)}}
		if err := syscall.Bind(fd, &source); err != nil {
			return err
		}
	}
	if err := syscall.Connect(fd, c.server); err != nil && err != syscall.EINPROGRESS {
		return err
	}
	return c.poller.Add(fd, syscall.EPOLLIN)
}

// write sends the connection's request, now or as soon as the connection stands.
func (c *client) write(connection *connection) {
	r := &connection.request
	c.message = c.appendRequest(c.message[:0], r.timeoutMs)
	r.sendingAt = unixNow()
	n, errno := epoll.Write(connection.fd, c.message)
	r.sentAt = unixNow()
	switch {
	case errno == 0 && n == len(c.message):
		if r.held {
			c.watch(connection, syscall.EPOLLIN)
		}
		connection.state = waiting
		if r.counters != nil {
			r.counters.sendLag.addNs(r.sendingAt - r.plannedAt)
		}
	case connection.state == connecting && (errno == syscall.EAGAIN || errno == syscall.ENOTCONN):
		if !r.held {
			r.held = true
			c.watch(connection, syscall.EPOLLOUT)
		}
	default:
		c.lose(connection)
	}
}

func (c *client) watch(connection *connection, events uint32) {
	if err := c.poller.Modify(connection.fd, events); err != nil {
		panic(fmt.Sprint("epoll_ctl: ", err))
	}
}

func (c *client) appendRequest(b []byte, timeoutMs int) []byte {
	b = append(b, "GET "...)
	b = append(b, c.path...)
	if timeoutMs > 0 {
		b = append(b, "?timeout="...)
		b = strconv.AppendInt(b, int64(timeoutMs), 10)
	}
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, c.addr...)
	return append(b, "\r\n\r\n"...)
}

// beginIteration is called once in each iteration of the runner, to notice how long the last one took.
func (c *client) beginIteration(now int64) { c.lag.note(now) }

// poll waits for at most the given time and takes in what has come.
func (c *client) poll(atMost time.Duration) {
	enteredAt := unixNow()
	events := c.poller.Wait(atMost)
	c.turnedAt = enteredAt
	for _, event := range events {
		connection := c.connections[event.Fd]
		switch {
		case connection == nil:
		case connection.state == connecting:
			c.write(connection)
		default:
			c.read(connection)
		}
	}
}

func (c *client) read(connection *connection) {
	data, arrivedAt, errno := c.receiver.Read(connection.fd)
	if errno == syscall.EAGAIN {
		return
	}
	if errno != 0 || len(data) == 0 || len(connection.partial) > maxAnswerBytes {
		c.lose(connection)
		return
	}
	if connection.state != waiting {
		c.close(connection) // unsolicited bytes
		return
	}
	if len(connection.partial) > 0 {
		connection.partial = append(connection.partial, data...)
		data = connection.partial
	}
	parsed, complete := parseAnswer(data, c.lowered)
	if !complete {
		if len(connection.partial) == 0 {
			connection.partial = append(connection.partial, data...)
		}
		return
	}
	if arrivedAt == 0 {
		arrivedAt = c.turnedAt // it cannot have come earlier: the benefit of our own lag is the server's
	}
	c.finish(connection, parsed, arrivedAt)
}

func (c *client) finish(connection *connection, a answer, arrivedAt int64) {
	r := connection.request
	c.observe(r, a, arrivedAt)
	c.inFlight--
	connection.partial = connection.partial[:0]
	if a.closes || (c.reopen > 0 && c.random.Float64() < c.reopen) {
		c.close(connection)
	} else {
		connection.state = idle
		c.idle = append(c.idle, connection)
	}
	if c.onAnswer != nil {
		c.onAnswer(unixNow())
	}
}

func (c *client) observe(r request, a answer, arrivedAt int64) {
	if c.window != nil {
		c.window.answered++
	}
	lateness := arrivedAt - r.sentAt - int64(r.timeoutMs)*int64(time.Millisecond)
	isLate := r.timeoutMs > 0 && lateness > 0
	what := outcomeOf(a)
	if t := r.counters; t != nil {
		t.fromSend.addNs(arrivedAt - r.sendingAt)
		t.fromPlan.addNs(arrivedAt - r.plannedAt)
		if isLate {
			t.lateBy.addNs(lateness)
			t.lateStatus[a.status]++
			isShort := r.timeoutMs < shortTimeoutMs
			if isShort {
				t.lateShort++
			}
			if lateness > int64(25*time.Millisecond) {
				t.lateOver25++
			}
			ownLag := c.lag.between(arrivedAt-lateness, arrivedAt)
			if lateness > ownLag {
				t.beyondLag(lateness-ownLag, isShort)
				if c.eachLate && !isShort {
					t.lateOnes = keepLate(t.lateOnes, lateOne{arrivedAt, lateness, ownLag})
				}
			}
		}
		if what == status503 && r.timeoutMs > 0 {
			quarter := r.sentAt + int64(r.timeoutMs)*int64(time.Millisecond)/4
			if after := arrivedAt - quarter; after > 0 {
				ownLag := c.lag.between(quarter, arrivedAt)
				if after > ownLag {
					t.rejectedLate.addNs(after - ownLag)
					if c.eachLate {
						t.rejectedOnes = keepLate(t.rejectedOnes, lateOne{arrivedAt, after, ownLag})
					}
				}
			}
		}
	}
	if what == good && !isLate && r.counters != nil {
		r.counters.goodOnly.addNs(arrivedAt - r.sendingAt)
	}
	if what == status503 && r.counters != nil {
		r.counters.refused.addNs(arrivedAt - r.sendingAt)
	}
	if isLate {
		what = late
	}
	c.count(r, what)
}

func (c *client) count(r request, what outcome) {
	c.totals[what]++
	if r.counters != nil {
		r.counters.counts[what]++
	}
}

// lose gives up a connection, and with it the request that it may carry.
func (c *client) lose(connection *connection) {
	carried := connection.state == waiting || connection.state == connecting
	c.close(connection)
	if carried {
		c.inFlight--
		c.owed++ // not asked here: a server that refuses everyone would never let us return
		c.count(connection.request, noAnswer)
	}
}

func (c *client) close(connection *connection) {
	connection.state = closed
	c.connections[connection.fd] = nil
	c.open--
	syscall.Close(connection.fd)
}

// loseOverdue ends requests that were sent, or planned, longer than giveUp ago.
func (c *client) loseOverdue(now int64) {
	for _, connection := range c.connections {
		if connection == nil || connection.state == idle {
			continue
		}
		patience := int64(c.giveUp) + int64(connection.request.timeoutMs)*int64(time.Millisecond)
		if now-connection.request.plannedAt > patience {
			c.lose(connection)
		}
	}
}
