package accesslog

import (
	"errors"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meshc/meshc/plugins"
	"github.com/meshc/meshc/runtime/filter"
)

// entry is a request or connection that has ended.
type entry struct {
	*filter.Record
	filter.Properties
	constants
	tcp bool
}

// renderer returns the value of a command; ok is false where there is none.
type renderer func(e *entry) (value string, ok bool)

// commands make the renderer of each command with an argument, which is "" for
// none. What they render is what Envoy 1.40 does.
var commands = map[string]func(argument string) (renderer, error){
	"START_TIME":             startTime,
	"REQ":                    header(func(e *entry) *filter.Headers { return e.Request }),
	"RESP":                   header(func(e *entry) *filter.Headers { return e.Response }),
	"TRAILER":                header(func(e *entry) *filter.Headers { return e.ResponseTrailers }),
	"PROTOCOL":               plain(func(e *entry) (string, bool) { return some(e.Protocol) }),
	"RESPONSE_CODE":          plain(func(e *entry) (string, bool) { return strconv.Itoa(e.Status), true }),
	"RESPONSE_CODE_DETAILS":  plain(func(e *entry) (string, bool) { return some(strings.ReplaceAll(e.Details, " ", "_")) }),
	"RESPONSE_FLAGS":         plain(func(e *entry) (string, bool) { return some(e.flags()) }),
	"GRPC_STATUS":            plain(grpcStatus),
	"GRPC_STATUS_NUMBER":     plain(grpcStatusNumber),
	"HOSTNAME":               plain(func(*entry) (string, bool) { return some(hostname) }),
	"BYTES_RECEIVED":         plain(func(e *entry) (string, bool) { return strconv.FormatUint(e.BytesReceived, 10), true }),
	"BYTES_SENT":             plain(func(e *entry) (string, bool) { return strconv.FormatUint(e.BytesSent, 10), true }),
	"DURATION":               plain(func(e *entry) (string, bool) { return strconv.FormatInt(e.Duration.Milliseconds(), 10), true }),
	"ROUTE_NAME":             plain((*entry).route),
	"UPSTREAM_HOST":          plain(func(e *entry) (string, bool) { return some(e.Upstream) }),
	"UPSTREAM_CLUSTER":       plain((*entry).cluster),
	"UPSTREAM_LOCAL_ADDRESS": property("upstream", "local_address"),
	"CONNECTION_ID":          property("connection", "id"),
	"REQUESTED_SERVER_NAME":  property("connection", "requested_server_name"),

	"DOWNSTREAM_REMOTE_ADDRESS":                     property("source", "address"),
	"DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT":        host("source"),
	"DOWNSTREAM_REMOTE_PORT":                        property("source", "port"),
	"DOWNSTREAM_DIRECT_REMOTE_ADDRESS":              property("source", "address"),
	"DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": host("source"),
	"DOWNSTREAM_DIRECT_REMOTE_PORT":                 property("source", "port"),
	"DOWNSTREAM_LOCAL_ADDRESS":                      property("destination", "address"),
	"DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT":         host("destination"),
	"DOWNSTREAM_LOCAL_PORT":                         property("destination", "port"),

	"UPSTREAM_REQUEST_ATTEMPT_COUNT": property("upstream", "request_attempt_count"),

	"KUMA_MESH":                plain(func(e *entry) (string, bool) { return e.Mesh, true }),
	"KUMA_TRAFFIC_DIRECTION":   plain(func(e *entry) (string, bool) { return e.Direction, true }),
	"KUMA_SOURCE_SERVICE":      plain(func(e *entry) (string, bool) { return some(e.Source) }),
	"KUMA_SOURCE_ADDRESS":      plain(func(e *entry) (string, bool) { return some(e.sourceAddress()) }),
	"KUMA_DESTINATION_SERVICE": plain((*entry).destination),

	"KUMA_SOURCE_ADDRESS_WITHOUT_PORT": plain(func(e *entry) (string, bool) { return some(e.Address) }),

	"DYNAMIC_METADATA": outside, "FILTER_STATE": outside,
}

func outside(string) (renderer, error) {
	return nil, errors.New("the built-in proxy keeps nothing of Envoy's filters, so there is nothing to log")
}

// hostname is what the kernel calls this machine, as Envoy's does.
var hostname, _ = os.Hostname()

// plain is a command without an argument.
func plain(r renderer) func(string) (renderer, error) {
	return func(argument string) (renderer, error) {
		if argument != "" {
			return nil, errors.New("it takes no argument")
		}
		return r, nil
	}
}

// some returns s as a value that is there unless it is empty.
func some(s string) (string, bool) { return s, s != "" }

// property renders a property of the stream that is text or a number.
func property(path ...string) func(string) (renderer, error) {
	return plain(func(e *entry) (string, bool) {
		switch v, _ := e.Property(path...); v := v.(type) {
		case string:
			return some(v)
		case int64:
			return strconv.FormatInt(v, 10), true
		case uint64:
			return strconv.FormatUint(v, 10), true
		}
		return "", false
	})
}

// host renders the address of one side without its port.
func host(side string) func(string) (renderer, error) {
	return plain(func(e *entry) (string, bool) {
		v, _ := e.Property(side, "address")
		text, _ := v.(string)
		a, err := netip.ParseAddrPort(text)
		return a.Addr().String(), err == nil
	})
}

// header renders a header field: its first value, or that of another.
func header(of func(*entry) *filter.Headers) func(string) (renderer, error) {
	return func(argument string) (renderer, error) {
		name, other, _ := strings.Cut(strings.ToLower(argument), "?")
		if name == "" && other == "" {
			return nil, errors.New("it names no header")
		}
		names := []string{name, other}
		for i, n := range names {
			if n == "host" {
				names[i] = ":authority"
			}
		}
		return func(e *entry) (string, bool) {
			h := of(e)
			if h == nil {
				return "", false
			}
			if v, ok := h.Get(names[0]); ok {
				return v, true
			}
			return h.Get(names[1])
		}, nil
	}
}

// route returns the route that the request was for, as cluster does.
func (e *entry) route() (string, bool) {
	if e.Route == "" && !e.tcp {
		v, _ := e.Property("xds", "route_name")
		text, _ := v.(string)
		return some(text)
	}
	return some(e.Route)
}

// cluster returns the cluster that the request was for, also where a filter
// answered before anybody asked.
func (e *entry) cluster() (string, bool) {
	if e.Cluster == "" && !e.tcp {
		v, _ := e.Property("xds", "cluster_name")
		text, _ := v.(string)
		return some(text)
	}
	return some(e.Cluster)
}

func (c *constants) sourceAddress() string {
	switch {
	case c.Address == "":
		return ""
	case strings.Contains(c.Address, ":"):
		return "[" + c.Address + "]:0"
	}
	return c.Address + ":0"
}

func (e *entry) destination() (string, bool) {
	if e.constants.Destination != "" {
		return e.constants.Destination, true
	}
	return some(e.Service)
}

// flagOrder is the order in which Envoy writes response flags.
var flagOrder = []string{
	"LH", "UH", "UT", "LR", "UR", "UF", "UC", "UO", "NR", "DI", "FI", "RL", "UAEX", "RLSE", "DC", "URX", "SI", "IH", "DPE",
	"UMSDR", "RFCF", "NFCF", "DT", "UPE", "NC", "OM", "DF", "DO", "DR",
}

// flags returns the response flags, those of filters included.
func (e *entry) flags() string {
	v, _ := e.Property(plugins.FlagsProperty)
	own, _ := v.([]byte)
	if len(own) == 0 {
		return e.Flags
	}
	all := strings.Split(string(own), ",")
	if e.Flags != "" {
		all = append(all, strings.Split(e.Flags, ",")...)
	}
	slices.SortFunc(all, func(x, y string) int { return slices.Index(flagOrder, x) - slices.Index(flagOrder, y) })
	return strings.Join(slices.Compact(all), ",")
}

func startTime(argument string) (renderer, error) {
	if argument == "" {
		return func(e *entry) (string, bool) { return e.Start.UTC().Format("2006-01-02T15:04:05.000Z"), true }, nil
	}
	layout, err := parseTime(argument)
	if err != nil {
		return nil, err
	}
	return func(e *entry) (string, bool) { return layout(e.Start.UTC()), true }, nil
}

// timeLayout writes a time.
type timeLayout func(time.Time) string
