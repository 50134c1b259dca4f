//go:build linux

package behaviour

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// h2conn is one HTTP/2 connection (RFC 9113) of a client or a backend. It does
// only what a peer must do: it answers SETTINGS and PING, keeps to the windows
// it is given and gives them back at once. What came is kept as it was.
type h2conn struct {
	c      net.Conn
	client bool
	// happened is told of the streams in the order of the frames. It may be nil.
	happened func(*h2stream, event)

	writing sync.Mutex
	framer  *http2.Framer
	fields  *hpack.Encoder
	encoded bytes.Buffer

	mu       sync.Mutex
	changed  chan struct{} // closed and made anew with each change
	streams  map[uint32]*h2stream
	next     uint32 // identifier of the next stream of a client
	active   int    // streams of a client that have not ended
	most     int    // how many there may be, 0 for any number
	window   int64  // what may be sent on the connection
	initial  int64  // what may be sent on a new stream
	goneAway bool   // the peer takes no more streams
	ended    bool   // no frame comes any more
}

// event is what happened to a stream.
type event int

const (
	headCame  event = iota // m has its head
	endCame                // m is whole
	resetCame              // the stream ended before both sides were done with it
)

// h2stream is what came on one stream.
type h2stream struct {
	conn *h2conn
	id   uint32

	window  int64
	interim []*Message // 1xx
	head    bool       // m has its head
	m       Message
	shown   int    // bytes of the body that were read already
	whole   bool   // the other side has said all
	reset   string // how the stream was ended before both sides had said all
	ended   bool   // whole, or reset
	said    bool   // this side has said all
	// refused: the peer said by GOAWAY that it did nothing with it (RFC 9113, 6.8).
	refused bool
}

const firstWindow = 65535 // RFC 9113, 6.9.2

// newH2 begins the connection from a client's or a backend's side. What happens
// on it is read by serve.
func newH2(c net.Conn, client bool, happened func(*h2stream, event)) (*h2conn, error) {
	h := &h2conn{
		c: c, client: client, happened: happened, changed: make(chan struct{}), streams: map[uint32]*h2stream{},
		next: 1, window: firstWindow, initial: firstWindow,
	}
	h.fields = hpack.NewEncoder(&h.encoded)
	h.framer = http2.NewFramer(c, c)
	h.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.SetDeadline(time.Now().Add(patience))
	defer c.SetDeadline(time.Time{})
	if client {
		if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
			return nil, err
		}
	} else {
		got := make([]byte, len(http2.ClientPreface))
		if n, err := io.ReadFull(c, got); err != nil || string(got) != http2.ClientPreface {
			return nil, fmt.Errorf("not HTTP/2: %q: %w", got[:n], err)
		}
	}
	return h, h.framer.WriteSettings(http2.Setting{ID: http2.SettingEnablePush, Val: 0})
}

// serve reads frames until the connection ends.
func (h *h2conn) serve() {
	defer func() {
		h.mu.Lock()
		streams := slices.Collect(maps.Values(h.streams))
		h.mu.Unlock()
		for _, s := range streams {
			h.end(s, "cut off")
		}
		h.change(func() { h.ended = true })
	}()
	for {
		f, err := h.framer.ReadFrame()
		if se, ok := errors.AsType[http2.StreamError](err); ok {
			h.reset(se.StreamID, "malformed")
			continue
		}
		if err != nil {
			return
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				h.settings(f)
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				h.write(func() error { return h.framer.WritePing(true, f.Data) })
			}
		case *http2.WindowUpdateFrame:
			h.change(func() {
				if s := h.streams[f.StreamID]; s != nil {
					s.window += int64(f.Increment)
				} else if f.StreamID == 0 {
					h.window += int64(f.Increment)
				}
			})
		case *http2.MetaHeadersFrame:
			h.headers(f)
		case *http2.DataFrame:
			h.data(f)
		case *http2.RSTStreamFrame:
			h.reset(f.StreamID, f.ErrCode.String())
		case *http2.GoAwayFrame:
			h.change(func() {
				h.goneAway = true
				for id, s := range h.streams {
					if id > f.LastStreamID && !s.ended {
						s.ended, s.refused, s.reset = true, true, "refused by GOAWAY"
						h.active--
						s.m.Reset = s.reset
					}
				}
			})
		}
	}
}

func (h *h2conn) settings(f *http2.SettingsFrame) {
	if size, ok := f.Value(http2.SettingInitialWindowSize); ok {
		h.change(func() {
			for _, s := range h.streams {
				s.window += int64(size) - h.initial
			}
			h.initial = int64(size)
		})
	}
	if most, ok := f.Value(http2.SettingMaxConcurrentStreams); ok {
		h.change(func() { h.most = int(most) })
	}
	h.write(h.framer.WriteSettingsAck)
}

// stream returns a stream, new where it is a client's.
func (h *h2conn) stream(id uint32) *h2stream {
	s := h.streams[id]
	if s == nil {
		s = &h2stream{conn: h, id: id, window: h.initial}
		h.streams[id] = s
	}
	return s
}

func (h *h2conn) headers(f *http2.MetaHeadersFrame) {
	var s *h2stream
	tell := false
	h.change(func() {
		s = h.stream(f.StreamID)
		if s.head {
			for _, field := range f.Fields {
				s.m.Trailer = append(s.m.Trailer, Field{field.Name, field.Value})
			}
		} else {
			m := Message{}
			method, path := "", ""
			for _, field := range f.Fields {
				switch field.Name {
				case ":method":
					method = field.Value
				case ":path":
					path = field.Value
				case ":status":
					m.Start = "HTTP/2 " + field.Value
				case ":scheme":
					if field.Value == "http" {
						break
					}
					fallthrough
				default:
					m.Header = append(m.Header, Field{field.Name, field.Value})
				}
			}
			if m.Start == "" {
				m.Start = method + " " + path + " HTTP/2"
			}
			if code := m.status(); code >= 100 && code < 200 {
				s.interim = append(s.interim, &m)
				return
			}
			s.m, s.head, tell = m, true, true
		}
	})
	if tell && h.happened != nil {
		h.happened(s, headCame)
	}
	if f.StreamEnded() {
		h.end(s, "")
	}
}

func (h *h2conn) data(f *http2.DataFrame) {
	var s *h2stream
	h.change(func() {
		s = h.stream(f.StreamID)
		s.m.Body = append(s.m.Body, f.Data()...)
	})
	if n := f.Length; n > 0 {
		h.write(func() error {
			if err := h.framer.WriteWindowUpdate(0, n); err != nil || f.StreamEnded() {
				return err
			}
			return h.framer.WriteWindowUpdate(f.StreamID, n)
		})
	}
	if f.StreamEnded() {
		h.end(s, "")
	}
}

func (h *h2conn) reset(id uint32, code string) {
	h.mu.Lock()
	s := h.streams[id]
	if s == nil && code == "malformed" {
		s = h.stream(id)
	}
	h.mu.Unlock()
	if s != nil { // else both sides were done with it
		h.end(s, "reset "+code)
	}
}

// end notes the end of a stream, in order when reset is "". After both sides
// have said all, there is nothing left that could be reset.
func (h *h2conn) end(s *h2stream, reset string) {
	over := false
	h.change(func() {
		over = s.reset != "" || s.whole && (s.said || reset == "")
		if over {
			return
		}
		if !s.ended {
			h.active--
		}
		if s.ended, s.reset = true, reset; reset == "" {
			s.whole = true
		} else if !s.whole {
			s.m.Reset = reset
		}
		if s.said {
			delete(h.streams, s.id)
		}
	})
	if over || h.happened == nil {
		return
	}
	if reset == "" {
		h.happened(s, endCame)
	} else {
		h.happened(s, resetCame)
	}
}

func (h *h2conn) change(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
	close(h.changed)
	h.changed = make(chan struct{})
}

// await waits until ok, which is asked with h.mu held, or nothing more can come.
func (h *h2conn) await(ok func() bool) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		h.mu.Lock()
		done, ended, changed := ok(), h.ended, h.changed
		h.mu.Unlock()
		if done {
			return nil
		}
		if ended {
			return errors.New("the connection has ended")
		}
		select {
		case <-changed:
		case <-timer.C:
			return errors.New("it does not come")
		}
	}
}

func (h *h2conn) write(f func() error) error {
	h.writing.Lock()
	defer h.writing.Unlock()
	h.c.SetWriteDeadline(time.Now().Add(patience))
	return f()
}

// open begins a stream of a client, once the server lets it have one more. It
// gets its identifier with its head, for they must come in order.
func (h *h2conn) open() (*h2stream, error) {
	s := &h2stream{conn: h}
	err := h.await(func() bool {
		if h.most > 0 && h.active >= h.most {
			return false
		}
		h.active++
		return true
	})
	return s, err
}

// register gives s an identifier if it has none.
func (h *h2conn) register(s *h2stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.id == 0 {
		s.id, s.window = h.next, h.initial
		h.streams[s.id] = s
		h.next += 2
	}
}
