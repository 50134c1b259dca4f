//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshc/meshc/cmd/meshc/internal/behaviour"
)

// rpcService is a gRPC service that repeats what it hears, as its metadata say.
const rpcService = "/test.Echo/"

// serveGRPC starts an application of service rpc.
func (w *http2World) serveGRPC(t *testing.T, address, name string) {
	listener, err := w.network.Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	handle := func(_ any, s grpc.ServerStream) error {
		w.mu.Lock()
		w.served[name]++
		w.mu.Unlock()
		asked, _ := metadata.FromIncomingContext(s.Context())
		s.SetHeader(metadata.Pairs("x-initial", strings.Join(asked.Get("x-meta"), ",")))
		s.SetTrailer(metadata.Pairs("x-last", "lv"))
		method, _ := grpc.MethodFromServerStream(s)
		if method == rpcService+"Fail" {
			return status.Error(codes.FailedPrecondition, "50% wörse")
		}
		for {
			m := &wrapperspb.StringValue{}
			if err := s.RecvMsg(m); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
			if method == rpcService+"Wait" {
				w.came <- struct{}{}
				<-s.Context().Done()
				select {
				case w.left <- name:
				default:
				}
				return s.Context().Err()
			}
			if method == rpcService+"Deadline" {
				deadline, ok := s.Context().Deadline()
				m.Value = fmt.Sprint(ok && time.Until(deadline) <= time.Minute)
			}
			n := 1
			if method == rpcService+"Many" {
				n = 100
			}
			for i := range n {
				if err := s.SendMsg(wrapperspb.String(fmt.Sprint(m.Value, " ", i))); err != nil {
					return err
				}
			}
		}
	}
	s := grpc.NewServer(grpc.UnknownServiceHandler(handle))
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(listener) //nolint:errcheck // it ends with Stop
	}()
	t.Cleanup(func() {
		s.Stop()
		<-done
	})
}

func (w *http2World) dialGRPC(t *testing.T, address, authority string) *grpc.ClientConn {
	cc, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithAuthority(authority), grpc.WithDisableRetry(),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return w.network.Dial(address) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return cc
}

const rpcAddress = "127.0.0.1:10003"

func testGRPCCalls(t *testing.T, w *http2World) {
	cc := w.dialGRPC(t, rpcAddress, "rpc")
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x-meta", "v")
	for range 2 { // one for each application
		var header, trailer metadata.MD
		out := &wrapperspb.StringValue{}
		err := cc.Invoke(ctx, rpcService+"Once", wrapperspb.String("m"), out, grpc.Header(&header), grpc.Trailer(&trailer))
		if err != nil || out.Value != "m 0" || !slices.Equal(header.Get("x-initial"), []string{"v"}) || !slices.Equal(trailer.Get("x-last"), []string{"lv"}) {
			t.Errorf("%q, %v, %v, %v", out.Value, err, header, trailer)
		}
		trailer = nil
		err = cc.Invoke(ctx, rpcService+"Fail", wrapperspb.String("m"), out, grpc.Trailer(&trailer))
		if s := status.Convert(err); s.Code() != codes.FailedPrecondition || s.Message() != "50% wörse" || !slices.Equal(trailer.Get("x-last"), []string{"lv"}) {
			t.Errorf("%v, %v", err, trailer)
		}
		large := strings.Repeat("x", 3<<20)
		if err := cc.Invoke(ctx, rpcService+"Once", wrapperspb.String(large), out); err != nil || len(out.Value) != len(large)+2 {
			t.Errorf("%d bytes, %v", len(out.Value), err)
		}
		late, cancel := context.WithTimeout(ctx, time.Minute)
		err = cc.Invoke(late, rpcService+"Deadline", wrapperspb.String("m"), out)
		if err != nil || out.Value != "true 0" {
			t.Errorf("the deadline does not arrive: %q, %v", out.Value, err)
		}
		go func() {
			<-w.came
			cancel()
		}()
		err = cc.Invoke(late, rpcService+"Wait", wrapperspb.String("m"), out)
		if status.Code(err) != codes.Canceled {
			t.Errorf("cancelled: %v", err)
		}
		select {
		case <-w.left:
		case <-time.After(time.Minute):
			t.Error("the server is left waiting")
		}
	}
	if err := w.dialGRPC(t, behaviour.GatewayAddress, "rpc.mesh").Invoke(ctx, rpcService+"Once", wrapperspb.String("m"), &wrapperspb.StringValue{}); err != nil {
		t.Errorf("through the gateway: %v", err)
	}
}

func testGRPCStreams(t *testing.T, w *http2World) {
	cc := w.dialGRPC(t, rpcAddress, "rpc")
	both := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	s, err := cc.NewStream(t.Context(), both, rpcService+"Talk")
	if err != nil {
		t.Fatal(err)
	}
	out := &wrapperspb.StringValue{}
	for i := range 20 { // each waits for the answer to the one before
		if err := s.SendMsg(wrapperspb.String(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
		if err := s.RecvMsg(out); err != nil || out.Value != fmt.Sprint(i, " 0") {
			t.Fatalf("%d: %q, %v", i, out.Value, err)
		}
	}
	s.CloseSend()
	if err := s.RecvMsg(out); err != io.EOF || !slices.Equal(s.Trailer().Get("x-last"), []string{"lv"}) {
		t.Errorf("at the end: %v, %v", err, s.Trailer())
	}
	if s, err = cc.NewStream(t.Context(), both, rpcService+"Many"); err != nil {
		t.Fatal(err)
	}
	s.SendMsg(wrapperspb.String("m"))
	s.CloseSend()
	n := 0
	for ; err == nil; n++ {
		err = s.RecvMsg(out)
	}
	if n != 101 || !errors.Is(err, io.EOF) {
		t.Errorf("%d messages, then %v", n-1, err)
	}
}

// What a proxy answers itself is gRPC's own form of it.
func testGRPCLocalReplies(t *testing.T, w *http2World) {
	out := &wrapperspb.StringValue{}
	err := w.dialGRPC(t, "127.0.0.1:10004", "dead").Invoke(t.Context(), rpcService+"Once", wrapperspb.String("m"), out)
	if s := status.Convert(err); s.Code() != codes.Unavailable || !strings.HasPrefix(s.Message(), "upstream connect error or disconnect/reset before headers. ") {
		t.Errorf("no endpoint: %v", err)
	}
	err = w.dialGRPC(t, behaviour.GatewayAddress, "nobody").Invoke(t.Context(), rpcService+"Once", wrapperspb.String("m"), out)
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("no route: %v", err)
	}
	// gRPC-Web is not gRPC (as Envoy has it).
	res, err := w.client(t).Post("http://127.0.0.1:10004/x", "application/grpc-web", nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 503 {
		t.Errorf("gRPC-Web: status %d", res.StatusCode)
	}
}

// Requests of one connection are spread over the endpoints.
func testGRPCBalancing(t *testing.T, w *http2World) {
	cc := w.dialGRPC(t, rpcAddress, "rpc")
	w.mu.Lock()
	clear(w.served)
	w.mu.Unlock()
	for range 20 {
		if err := cc.Invoke(t.Context(), rpcService+"Once", wrapperspb.String("m"), &wrapperspb.StringValue{}); err != nil {
			t.Fatal(err)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.served["rpc-1"] != 10 || w.served["rpc-2"] != 10 {
		t.Errorf("served by %v", w.served)
	}
}
