package accesslog

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"
)

// logFile is a file that lines are added to.
type logFile struct {
	path string
	file *os.File
	// looked is when it was last made sure that path still leads to file.
	looked time.Time
}

// lookAgain is how long a file that was renamed may still be written to.
const lookAgain = 500 * time.Millisecond

// open opens the file unless path still leads to the one that is open.
func (f *logFile) open(<-chan struct{}) error {
	if f.file != nil {
		if time.Since(f.looked) < lookAgain {
			return nil
		}
		f.looked = time.Now()
		at, err := os.Stat(f.path)
		if err == nil {
			var own os.FileInfo
			if own, err = f.file.Stat(); err == nil && os.SameFile(at, own) {
				return nil
			}
		}
		f.renew()
	}
	file, err := os.OpenFile(f.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("access log: %w", err)
	}
	f.file, f.looked = file, time.Now()
	return nil
}

// write adds the line in one piece, so that several processes may share a file.
func (f *logFile) write(line []byte) error {
	_, err := f.file.Write(line)
	return err
}

func (f *logFile) renew() {
	if f.file != nil {
		_ = f.file.Close()
		f.file = nil
	}
}

// Bounds of a connection that lines go over.
const (
	dialTimeout  = 5 * time.Second
	writeTimeout = 10 * time.Second
)

// connection is a TCP connection to which lines are written.
type connection struct {
	address string
	conn    net.Conn
	closed  chan struct{} // the other side has closed
}

func (c *connection) open(giveUp <-chan struct{}) error {
	if c.conn != nil {
		select {
		case <-c.closed:
			c.renew()
		default:
			return nil
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	go func() {
		select {
		case <-giveUp:
			cancel()
		case <-ctx.Done():
		}
	}()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.address)
	if err != nil {
		return err
	}
	c.conn, c.closed = conn, make(chan struct{})
	go func(closed chan struct{}) {
		// Nothing is expected from there; what comes is passed over. Without a
		// look, a line written to a peer that has closed would be lost unseen.
		defer close(closed)
		b := make([]byte, 512)
		for {
			if _, err := conn.Read(b); err != nil {
				return
			}
		}
	}(c.closed)
	go func(closed chan struct{}) {
		select {
		case <-giveUp:
			_ = conn.SetDeadline(time.Now())
		case <-closed:
		}
	}(c.closed)
	return nil
}

func (c *connection) write(line []byte) error {
	_ = c.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := c.conn.Write(line)
	return err
}

func (c *connection) renew() {
	if c.conn != nil {
		_ = c.conn.Close()
		<-c.closed
		c.conn = nil
	}
}
