package main

import (
	"net"

	"github.com/meshc/meshc/compiler/snapshot"
)

// warnExposed tells of an xDS address that more than this machine reaches while
// the snapshot has keys to give away, once until that changes.
func (r *reloader) warnExposed() {
	was := r.exposed
	r.exposed = r.xdsAddr != nil && !isLoopback(r.xdsAddr) && !r.xdsTLS.Authenticates() && givesKeys(r.serving)
	if r.exposed && !was {
		r.log.Warn("ANYBODY WHO REACHES --xds-addr CAN HAVE PRIVATE KEYS: a client of xDS is believed to be the proxy that it says it is",
			"address", r.xdsAddr.String(), "authorities", r.serving.Authorities.Len(), "secrets", r.serving.Secrets.Len(),
			"do", "keep --xds-addr on loopback, or ask clients who they are with --xds-client-ca")
	}
}

// givesKeys reports whether Envoys get certificates with their keys, or other
// secrets, of s.
func givesKeys(s snapshot.Snapshot) bool { return s.Authorities.Len() > 0 || s.Secrets.Len() > 0 }

func isLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
