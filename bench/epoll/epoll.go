// Package epoll has the few Linux calls that the load generator and the upstream are made of.
//
// Why not net/http or net.Conn: both programs share one core with each other, and the server on the other core must be
// what is measured. One goroutine per connection costs 4-5 µs a request in the Go scheduler; raw epoll costs none.
// One thread, nothing shared, no allocation per request.
package epoll

import (
	"fmt"
	"net"
	"syscall"
	"time"
	"unsafe"
)

const (
	maxEvents        = 8192
	sysEpollPwait2   = 441 // waits in nanoseconds (Linux 5.11); epoll_wait's millisecond would bunch requests
	soTimestampNs    = 35  // SO_TIMESTAMPNS, and the type of the control message that it brings
	listenBacklog    = 4096
	soReusePort      = 15 // asm-generic/socket.h; package syscall does not have it
	controlBytes     = 64
	realtimeOverhead = 16 // a cmsghdr before its timespec, on 64-bit machines
)

// Poller waits for many descriptors at once.
type Poller struct {
	fd     int
	events []syscall.EpollEvent
}

// NewPoller opens an epoll descriptor.
func NewPoller() (*Poller, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	return &Poller{fd: fd, events: make([]syscall.EpollEvent, maxEvents)}, nil
}

// Add watches a descriptor, level-triggered.
func (p *Poller) Add(fd int, events uint32) error {
	event := syscall.EpollEvent{Events: events, Fd: int32(fd)}
	return syscall.EpollCtl(p.fd, syscall.EPOLL_CTL_ADD, fd, &event)
}

// Modify changes what is watched of a descriptor.
func (p *Poller) Modify(fd int, events uint32) error {
	event := syscall.EpollEvent{Events: events, Fd: int32(fd)}
	return syscall.EpollCtl(p.fd, syscall.EPOLL_CTL_MOD, fd, &event)
}

// Wait returns the descriptors that are ready, after at most the given time. An interrupted wait is an empty one.
func (p *Poller) Wait(atMost time.Duration) []syscall.EpollEvent {
	timeout := syscall.NsecToTimespec(max(0, int64(atMost)))
	n, _, errno := syscall.Syscall6(sysEpollPwait2, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])),
		maxEvents, uintptr(unsafe.Pointer(&timeout)), 0, 0)
	if errno != 0 {
		if errno == syscall.EINTR {
			return nil
		}
		panic("epoll_pwait2 (needs Linux 5.11): " + errno.Error())
	}
	return p.events[:n]
}

// Address turns "127.0.0.1:80" into what the kernel takes.
func Address(hostPort string) (*syscall.SockaddrInet4, error) {
	tcp, err := net.ResolveTCPAddr("tcp4", hostPort)
	if err != nil {
		return nil, err
	}
	address := &syscall.SockaddrInet4{Port: tcp.Port}
	copy(address.Addr[:], tcp.IP.To4())
	return address, nil
}

// Listen opens a listening socket.
func Listen(hostPort string) (int, error) {
	address, err := Address(hostPort)
	if err != nil {
		return -1, err
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return -1, fmt.Errorf("SO_REUSEADDR: %w", err)
	}
	// Two upstreams may share a port: together they have room for more connections than one process has descriptors.
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, soReusePort, 1); err != nil {
		return -1, fmt.Errorf("SO_REUSEPORT: %w", err)
	}
	if err := syscall.Bind(fd, address); err != nil {
		return -1, fmt.Errorf("bind %s: %w", hostPort, err)
	}
	return fd, syscall.Listen(fd, listenBacklog)
}

// NoDelay turns Nagle's algorithm off: an answer must not wait for an acknowledgement.
func NoDelay(fd int) error {
	return syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
}

// StampArrivals asks the kernel to say when the bytes of a read arrived (see Receiver).
func StampArrivals(fd int) error {
	return syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, soTimestampNs, 1)
}

// Write sends on a non-blocking socket, without telling Go's scheduler (it never blocks).
func Write(fd int, b []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)),
		syscall.MSG_NOSIGNAL, 0, 0)
	return int(n), errno
}

// Receiver reads from non-blocking sockets into one buffer that all connections share.
type Receiver struct {
	buffer  []byte
	control [controlBytes]byte
	vector  syscall.Iovec
	header  syscall.Msghdr
}

// NewReceiver makes the shared buffer.
func NewReceiver(size int) *Receiver {
	r := &Receiver{buffer: make([]byte, size)}
	r.vector.Base = &r.buffer[0]
	r.vector.SetLen(size)
	r.header.Iov = &r.vector
	r.header.Iovlen = 1
	r.header.Control = &r.control[0]
	return r
}

// Read returns what has come (valid until the next Read) and when the kernel received the last of it, in Unix
// nanoseconds, or 0 where the socket has no stamps. No bytes and no error: the other side has closed.
func (r *Receiver) Read(fd int) (data []byte, arrivedAt int64, errno syscall.Errno) {
	r.header.SetControllen(controlBytes)
	n, _, errno := syscall.RawSyscall(syscall.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&r.header)), 0)
	if errno != 0 {
		return nil, 0, errno
	}
	if r.header.Controllen >= realtimeOverhead+16 {
		head := (*syscall.Cmsghdr)(unsafe.Pointer(&r.control[0]))
		if head.Level == syscall.SOL_SOCKET && head.Type == soTimestampNs {
			stamp := (*syscall.Timespec)(unsafe.Pointer(&r.control[realtimeOverhead]))
			arrivedAt = stamp.Nano()
		}
	}
	return r.buffer[:n], arrivedAt, 0
}
