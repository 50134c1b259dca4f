//go:build linux

package main

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/meshc/meshc/cmd/meshc/internal/behaviour"
)

// abiBackend answers HTTP/1, over TLS at abiTLSAddr, and HTTP/2 and gRPC without
// TLS, by the path:
//
//	/ok        200 with a body and a repeated header
//	/none      204
//	/trailers  a body and a trailer
//	/two       a body of ten bytes in two pieces, the second once the guest has seen the first
//	/echo      method, path, headers, body and trailers of the request as the body
//	/gone      an end of the connection, or of the stream, without an answer
//	/cut       the same after a first piece of the body
//	/slow      nothing, until the client gives up
//	/abi.Test/ the gRPC methods Unary, Error, Late, Echo and Wait
//
// awaitLog(scenario, event) waits until the guest has told of an event.
func abiBackend(t *testing.T, network *behaviour.Network, address string, awaitLog func(scenario, event string)) {
	t.Helper()
	listener, err := network.Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	plain := func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "text/x-abi")
		w.Header()["X-Two"] = []string{"one", "two"}
	}
	mux.HandleFunc("/ok", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		plain(w)
		w.Header().Set("Content-Length", "10")
		io.WriteString(w, "0123456789")
	})
	mux.HandleFunc("/none", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/trailers", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		plain(w)
		w.Header().Set("Trailer", "X-T")
		io.WriteString(w, "0123456789")
		w.Header().Set("X-T", "tv")
	})
	mux.HandleFunc("/two", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		plain(w)
		io.WriteString(w, "01234")
		w.(http.Flusher).Flush()
		awaitLog(r.Header.Get("X-Name"), "response_body#1 returns")
		io.WriteString(w, "56789")
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		plain(w)
		text := fmt.Sprintf("%s %s %s\n%s%q %v\n%s", r.Method, r.RequestURI, r.Host, abiHeaders(r.Header), body, err, abiHeaders(r.Trailer))
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		io.WriteString(w, text)
	})
	mux.HandleFunc("/gone", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		panic(http.ErrAbortHandler)
	})
	mux.HandleFunc("/cut", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		plain(w)
		io.WriteString(w, "01234")
		w.(http.Flusher).Flush()
		awaitLog(r.Header.Get("X-Name"), "response_body#1 returns")
		panic(http.ErrAbortHandler)
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
	mux.HandleFunc("/abi.Test/", abiGRPC)
	server := &http.Server{Handler: mux, Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	if address == abiTLSAddr {
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{abiCertificates().server.pair()}, ClientAuth: tls.RequireAnyClientCert})
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(listener) //nolint:errcheck // it ends with Close
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
}

func abiHeaders(h http.Header) string {
	var lines []string
	for name, values := range h {
		for _, v := range values {
			lines = append(lines, strings.ToLower(name)+": "+v+"\n")
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func abiGRPC(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("X-Initial", "iv")
	w.Header().Set("Trailer", "Grpc-Status, Grpc-Message, X-Last")
	finish := func(code, message string) {
		w.Header().Set("X-Last", "lv")
		w.Header().Set("Grpc-Status", code)
		w.Header().Set("Grpc-Message", message)
	}
	receive := func() ([]byte, error) {
		var head [5]byte
		if _, err := io.ReadFull(r.Body, head[:]); err != nil {
			return nil, err
		}
		m := make([]byte, binary.BigEndian.Uint32(head[1:]))
		_, err := io.ReadFull(r.Body, m)
		return m, err
	}
	send := func(m string) {
		head := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(m)))
		w.Write(append(head, m...)) //nolint:errcheck // the guest may have cancelled
		w.(http.Flusher).Flush()
	}
	switch strings.TrimPrefix(r.URL.Path, "/abi.Test/") {
	case "Unary":
		m, err := receive()
		if err != nil {
			finish("13", "no message")
			return
		}
		send("re: " + string(m) + " " + r.Header.Get("X-Meta"))
		finish("0", "")
	case "Error":
		w.Header().Del("Trailer")
		w.Header().Set("Grpc-Status", "7")
		w.Header().Set("Grpc-Message", "denied%20here")
	case "Late":
		send("one")
		finish("9", "late")
	case "Echo":
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		for {
			m, err := receive()
			if err != nil {
				break
			}
			send("re: " + string(m))
		}
		finish("0", "bye")
	case "Wait":
		<-r.Context().Done()
	default:
		w.Header().Del("Trailer")
		w.Header().Set("Grpc-Status", "12")
	}
}

// abiTCP sends back what comes, until the end.
func abiTCP(t *testing.T, network *behaviour.Network, address string) {
	t.Helper()
	listener, err := network.Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(2 * time.Minute))
				io.Copy(c, c) //nolint:errcheck // a connection may end in any way
			}()
		}
	}()
}
