package main

import (
	"bytes"
	"encoding/json"
)

var (
	endOfHead     = []byte("\r\n\r\n")
	lengthHeader  = []byte("\ncontent-length:")
	chunkedHeader = []byte("\ntransfer-encoding: chunked")
	closeHeader   = []byte("\nconnection: close")
	timeKey       = []byte(`"time"`)
	lastChunk     = []byte("0\r\n\r\n")
)

// answer is a whole HTTP/1.1 response.
type answer struct {
	status int
	closes bool // the server will close this connection
	body   []byte
}

// parseAnswer reads a response; complete is false as long as bytes are missing. It knows what the servers of this
// benchmark send: a body with Content-Length or chunks, nothing pipelined.
func parseAnswer(b []byte, lowered []byte) (a answer, complete bool) {
	end := bytes.Index(b, endOfHead)
	if end < 0 || len(b) < len("HTTP/1.1 200") {
		return answer{}, false
	}
	head := lowerASCII(lowered, b[:end])
	a.status = int(b[9]-'0')*100 + int(b[10]-'0')*10 + int(b[11]-'0')
	a.closes = bytes.Contains(head, closeHeader)
	a.body = b[end+len(endOfHead):]
	if bytes.Contains(head, chunkedHeader) {
		return a, bytes.HasSuffix(a.body, lastChunk)
	}
	length := contentLength(head)
	if len(a.body) < length {
		return answer{}, false
	}
	a.body = a.body[:length]
	return a, true
}

func contentLength(head []byte) int {
	at := bytes.Index(head, lengthHeader)
	if at < 0 {
		return 0
	}
	length := 0
	for _, c := range head[at+len(lengthHeader):] {
		if c >= '0' && c <= '9' {
			length = length*10 + int(c-'0')
		} else if c != ' ' {
			break
		}
	}
	return length
}

// lowerASCII lowers into the buffer given, as far as it reaches.
func lowerASCII(buffer []byte, b []byte) []byte {
	b = b[:min(len(b), len(buffer))]
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		buffer[i] = c
	}
	return buffer[:len(b)]
}

// isSuccess: what a client of /api/smart wants. Chunked bodies are looked at as they are.
func (a answer) isSuccess() bool {
	return a.status == 200 && bytes.Contains(a.body, timeKey) && (json.Valid(a.body) || bytes.HasSuffix(a.body, lastChunk))
}
