package xds

import (
	"context"
	"io"

	alsv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
)

// AccessLogFunc takes one message of an Envoy's access log, of the logger with
// the given name. It may take its time: meanwhile nothing is read from that
// Envoy, which then keeps its buffer and drops (and counts) what is too much.
// ctx ends when the Envoy or the server goes. An error ends the stream; Envoy
// opens another.
type AccessLogFunc func(ctx context.Context, logName string, m *alsv3.StreamAccessLogsMessage) error

// als receives access logs on the address of the xDS server.
type als struct {
	alsv3.UnimplementedAccessLogServiceServer
	server *Server
}

// StreamAccessLogs serves one logger of one worker of an Envoy, which says who
// it is in its first message alone.
func (a als) StreamAccessLogs(g alsv3.AccessLogService_StreamAccessLogsServer) error {
	ctx, cancel := context.WithCancel(g.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- a.receive(ctx, g) }()
	select {
	case err := <-ended:
		return err
	case <-a.server.stop:
		return grpcstatus.Error(codes.Unavailable, "meshc is shutting down")
	}
}

func (a als) receive(ctx context.Context, g alsv3.AccessLogService_StreamAccessLogsServer) error {
	name := ""
	for first := true; ; first = false {
		m, err := g.Recv()
		if err == io.EOF {
			return g.SendAndClose(&alsv3.StreamAccessLogsResponse{})
		}
		if err != nil {
			return err
		}
		if first {
			if m.GetIdentifier() == nil {
				return grpcstatus.Error(codes.InvalidArgument, "the first message must say which log it is of")
			}
			if err := a.server.authorize(ctx, m.GetIdentifier().GetNode().GetId()); err != nil {
				return err
			}
			name = m.GetIdentifier().GetLogName()
		}
		a.server.metrics.logged.Add(float64(len(m.GetHttpLogs().GetLogEntry()) + len(m.GetTcpLogs().GetLogEntry())))
		if err := a.server.cfg.AccessLog(ctx, name, m); err != nil {
			return grpcstatus.Error(codes.InvalidArgument, err.Error())
		}
	}
}
