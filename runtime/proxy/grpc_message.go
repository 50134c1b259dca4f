package proxy

import (
	"encoding/binary"
	"io"
	"sync"
)

// bodyReader reads the data of a response.
type bodyReader struct {
	codec halfStream
	end   bool
}

func (b *bodyReader) Read(p []byte) (n int, err error) {
	for n == 0 && err == nil && !b.end {
		n, b.end, err = b.codec.ReadData(p)
	}
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// messageError is a message that is not taken.
type messageError struct {
	status int
	text   string
}

func (e *messageError) Error() string { return e.text }

// readMessage reads one length-prefixed message; io.EOF is the end between two.
func readMessage(r io.Reader) ([]byte, error) {
	var prefix [5]byte
	if _, err := io.ReadFull(r, prefix[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(prefix[1:])
	switch {
	case prefix[0] != 0:
		return nil, &messageError{grpcUnimplemented, "compressed message"}
	case size > maxCallBody:
		return nil, &messageError{grpcResourceExhausted, "message too large"}
	}
	// What is not there is not reserved: the length is only a claim.
	m, err := io.ReadAll(io.LimitReader(r, int64(size)))
	if err == nil && len(m) < int(size) {
		err = io.ErrUnexpectedEOF
	}
	return m, err
}

// outbox is the body of a gRPC request: messages that are put in as they come
// and read as they can be sent.
type outbox struct {
	mu       sync.Mutex
	more     sync.Cond
	data     []byte
	finished bool // nothing will be put in any more
	closed   bool // nobody reads any more
	over     bool // more was put in than may wait
}

// put adds a message; it reports false when too much waits already.
func (o *outbox) put(message []byte, end bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.finished || o.closed {
		return true
	}
	if len(o.data)+len(message) > maxCallBody {
		o.over = true
		return false
	}
	var prefix [5]byte
	binary.BigEndian.PutUint32(prefix[1:], uint32(len(message)))
	o.data = append(append(o.data, prefix[:]...), message...)
	o.finished = end
	o.more.Broadcast()
	return true
}

func (o *outbox) finish() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.finished = true
	o.more.Broadcast()
}

func (o *outbox) waiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.data)
}

func (o *outbox) overflown() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.over
}

// Read waits for something to send.
func (o *outbox) Read(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.data) == 0 && !o.finished && !o.closed {
		o.more.Wait()
	}
	switch {
	case o.closed:
		return 0, errNotWanted
	case len(o.data) == 0:
		return 0, io.EOF
	}
	n := copy(p, o.data)
	o.data = o.data[n:]
	return n, nil
}

// Close ends the reading.
func (o *outbox) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed, o.data = true, nil
	o.more.Broadcast()
	return nil
}
