// Package sdk writes Proxy-Wasm filters in Go, with the stock toolchain:
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -ldflags='-s -w' -o filter.wasm .
//
// A filter is a main package with an empty main, which registers itself:
//
//	func init() {
//		sdk.Register(func(p *sdk.Plugin) error {
//			p.HTTP(func(s sdk.Stream) sdk.HTTPFilter { return &filter{Stream: s} })
//			return nil
//		})
//	}
//
//	type filter struct {
//		sdk.PassThrough // whatever the filter does not answer itself
//		sdk.Stream
//	}
//
//	func (f *filter) RequestHeaders(h sdk.Headers, end bool) sdk.Action {
//		if h.Get("x-key") == "" {
//			return f.Reply(401, "no key\n")
//		}
//		h.Set("x-seen", "yes")
//		return sdk.Continue
//	}
//
//	func main() {}
//
// The module speaks Proxy-Wasm ABI 0.2.1. The host runs one callback at a time
// and nothing in between, so nothing needs a lock, and nothing may wait: no
// time.Sleep, no receiving from a channel that only a later callback fills.
// Goroutines run only while a callback does. A panic ends the module's
// instance, and with it the streams that it holds.
package sdk

import (
	"time"

	"github.com/meshc/meshc/plugins/wasm/sdk/internal/host"
)

// Action is what a callback wants to become of what it was shown.
type Action int32

const (
	// Continue lets it go on.
	Continue Action = 0
	// Pause holds it. Headers go on at ContinueRequest or ContinueResponse. A body is
	// kept, and the next callback sees all of it so far; it goes on when one returns
	// Continue.
	Pause Action = 1
)

// Register says what the module does. It is called once, in an init function,
// where nothing else of this package may be called. The host calls setup when
// a configuration starts, in each of its threads: it reads the configuration
// and names what the plugin answers. An error refuses the configuration; its
// text goes to the host's log.
func Register(setup func(p *Plugin) error) {
	if setup == nil {
		panic("sdk: Register of nil")
	}
	if register != nil {
		panic("sdk: Register is called twice")
	}
	register = setup
}

// Plugin is one configuration of the module. Its methods may be called in
// setup and, where their text says nothing else, in every later callback.
type Plugin struct {
	Context
	http    func(Stream) HTTPFilter
	tcp     func(Conn) TCPFilter
	tick    func()
	queues  []queue
	foreign func(id uint32, data []byte)
	done    func() bool
	failed  error // the first of what setup asked for in vain
}

type queue struct {
	token   uint32
	consume func([]byte)
}

// Config returns the plugin's configuration as it was written in the document
// that attaches it: text as it is, anything else as JSON. Only in setup.
func (p *Plugin) Config() []byte { return readBuffer(host.PluginConfiguration) }

// VMConfig returns the configuration of the VM, which all plugins in it share.
func (p *Plugin) VMConfig() []byte { return readBuffer(host.VMConfiguration) }

// RootID returns the root id that the attaching document gives: a module that
// holds several plugins tells by it which one is meant.
func (p *Plugin) RootID() string { return string(Property("plugin_root_id")) }

// HTTP makes the plugin a filter of HTTP. make is called at the first callback
// of each stream; nil lets that stream pass.
func (p *Plugin) HTTP(make func(s Stream) HTTPFilter) { p.http = make }

// TCP makes the plugin a filter of TCP. make is called for each connection; nil
// lets it pass.
func (p *Plugin) TCP(make func(c Conn) TCPFilter) { p.tcp = make }

// Tick calls f every period, in whole milliseconds, in place of what was set
// before. A period of 0 ends it. It runs in each thread of the host.
func (p *Plugin) Tick(period time.Duration, f func()) {
	p.tick = f
	p.effective()
	p.want(host.SetTickPeriod(millis(period)))
}

// Queue opens the queue of that name for reading, and makes it where it does
// not exist. consume gets each item once, in one thread of the host.
func (p *Plugin) Queue(name string, consume func(item []byte)) Queue {
	token, s := host.RegisterQueue(name)
	if p.want(s) {
		p.queues = append(p.queues, queue{token, consume})
	}
	return Queue(token)
}

// OnForeign calls f when the host calls the plugin's foreign function id.
func (p *Plugin) OnForeign(f func(id uint32, data []byte)) { p.foreign = f }

// OnDone calls f when the plugin is to end. When f returns false, the plugin
// stays until it calls Finish.
func (p *Plugin) OnDone(f func() bool) { p.done = f }

// Finish ends a plugin whose OnDone returned false.
func (p *Plugin) Finish() error {
	p.effective()
	return check(host.Done())
}

// Counter returns the counter of that name, as Gauge and Histogram theirs. One
// name is one metric, in all threads of the host. A metric that cannot be had
// refuses the configuration.
func (p *Plugin) Counter(name string) Counter { return Counter(p.metric(host.Counter, name)) }

// Gauge returns the gauge of that name.
func (p *Plugin) Gauge(name string) Gauge { return Gauge(p.metric(host.Gauge, name)) }

// Histogram returns the histogram of that name.
func (p *Plugin) Histogram(name string) Histogram { return Histogram(p.metric(host.Histogram, name)) }

func (p *Plugin) metric(kind int32, name string) uint32 {
	id, s := host.DefineMetric(kind, name)
	p.want(s)
	return id
}

// want keeps the first failure, for setup to end with.
func (p *Plugin) want(s int32) bool {
	if s != 0 && p.failed == nil {
		p.failed = Status(s)
	}
	return s == 0
}

// millis rounds up, so that what is asked for never becomes "none".
func millis(d time.Duration) uint32 {
	if d <= 0 {
		return 0
	}
	return uint32(min((d+time.Millisecond-1)/time.Millisecond, 1<<31-1))
}
