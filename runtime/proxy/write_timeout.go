package proxy

import (
	"errors"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tcpUserTimeout is TCP_USER_TIMEOUT of tcp(7), which Linux alone has.
const tcpUserTimeout = 18

// limitWrites returns what has a connection end, on which what was sent has not
// been taken for limit; nil where there is no limit. It is for net.Dialer.
func limitWrites(limit time.Duration) func(network, address string, raw syscall.RawConn) error {
	if limit == 0 || runtime.GOOS != "linux" {
		return nil
	}
	return func(_, _ string, raw syscall.RawConn) (err error) {
		failed := raw.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, tcpUserTimeout, int(limit.Milliseconds()))
		})
		return errors.Join(failed, err)
	}
}
