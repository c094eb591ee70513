// Command go_service is a JSON API with net/http, the same as that of fastapi_service.py: `go_service PORT` prints its
// port once it listens.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

const notFoundFrom = 100

var piece = bytes.Repeat([]byte("0123456789abcdef"), 1024)

type item struct {
	Name  *string `json:"name"`
	Price float64 `json:"price"`
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	server := &http.Server{Handler: routes()}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	ended := make(chan error)
	go func() {
		<-stop
		ended <- server.Shutdown(context.Background())
	}()
	_ = server.Serve(listener)
	<-ended
}

func routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /items", search)
	mux.HandleFunc("POST /items", create)
	mux.HandleFunc("GET /items/{number}", read)
	mux.HandleFunc("PUT /items/{number}", change)
	mux.HandleFunc("PATCH /items/{number}", change)
	mux.HandleFunc("DELETE /items/{number}", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /private", private)
	mux.HandleFunc("GET /large", func(w http.ResponseWriter, r *http.Request) { sendPieces(w, r, true) })
	mux.HandleFunc("GET /streamed", func(w http.ResponseWriter, r *http.Request) { sendPieces(w, r, false) })
	mux.HandleFunc("POST /digest", digest)
	mux.HandleFunc("GET /self", func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusOK, map[string]any{"process": os.Getpid(), "peer": r.RemoteAddr})
	})
	return mux
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func fail(w http.ResponseWriter, status int, detail string) {
	answer(w, status, map[string]any{"detail": detail})
}

func search(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	limit, err := strconv.Atoi(query.Get("limit"))
	if err != nil {
		fail(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	hits := make([]map[string]any, limit)
	for number := range hits {
		hits[number] = map[string]any{"id": number}
	}
	answer(w, http.StatusOK, map[string]any{"hits": hits, "tags": query["tag"]})
}

func read(w http.ResponseWriter, r *http.Request) {
	number, err := strconv.Atoi(r.PathValue("number"))
	switch {
	case err != nil:
		fail(w, http.StatusUnprocessableEntity, err.Error())
	case number >= notFoundFrom:
		fail(w, http.StatusNotFound, "no such item")
	default:
		answer(w, http.StatusOK, map[string]any{"id": number})
	}
}

func decode(w http.ResponseWriter, r *http.Request) *item {
	var got item
	if err := json.NewDecoder(r.Body).Decode(&got); err != nil || got.Name == nil {
		fail(w, http.StatusUnprocessableEntity, "name: missing")
		return nil
	}
	return &got
}

func create(w http.ResponseWriter, r *http.Request) {
	if got := decode(w, r); got != nil {
		w.Header().Set("Location", "/items/"+*got.Name)
		answer(w, http.StatusCreated, map[string]any{"name": *got.Name, "price": got.Price})
	}
}

func change(w http.ResponseWriter, r *http.Request) {
	number, _ := strconv.Atoi(r.PathValue("number"))
	if got := decode(w, r); got != nil {
		answer(w, http.StatusOK, map[string]any{"id": number, "name": *got.Name})
	}
}

func private(w http.ResponseWriter, r *http.Request) {
	authorization := r.Header.Get("Authorization")
	if authorization == "" {
		w.Header().Set("WWW-Authenticate", `Bearer realm="shop"`)
		fail(w, http.StatusUnauthorized, "who is it?")
		return
	}
	answer(w, http.StatusOK, map[string]any{"authorization": authorization})
}

func sendPieces(w http.ResponseWriter, r *http.Request, withLength bool) {
	pieces, _ := strconv.Atoi(r.URL.Query().Get("pieces"))
	w.Header().Set("Content-Type", "application/octet-stream")
	if withLength {
		w.Header().Set("Content-Length", strconv.Itoa(pieces*len(piece)))
	}
	for range pieces {
		_, _ = w.Write(piece)
	}
}

func digest(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	answer(w, http.StatusOK, map[string]any{"bytes": len(body), "sha256": fmt.Sprintf("%x", sha256.Sum256(body))})
}
