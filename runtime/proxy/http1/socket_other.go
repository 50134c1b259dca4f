//go:build !unix

package http1

import "net"

// socket is what socket_unix.go has where sockets can be read without net.Conn.
type socket struct{}

func newSocket(net.Conn) *socket { return nil }

func (*socket) read([]byte, bool) (*buffer, int, []byte, error) { panic("http1: no socket") }

func (*socket) silent() bool { return true }
