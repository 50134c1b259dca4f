// Package status holds what really happens, as against what was configured:
// reloads, connected Envoys, what they refused, plugins that failed. Every
// part of the process writes to a Board; rest reads it.
package status

import (
	"slices"
	"sync"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
)

// maxReloads is how many reloads the Board remembers.
const maxReloads = 100

// Board is safe for use by many goroutines. The zero Board is ready.
type Board struct {
	mu          sync.Mutex
	reloads     []Reload // oldest first
	attempts    Attempts
	diagnostics []byte
	nodes       map[string]Node
	plugins     map[string]Plugin
	ready       bool
	stopped     bool
}

// Reload is one attempt to put new input into effect.
type Reload struct {
	Time time.Time `json:"time"`
	// OK says that the new snapshot serves; otherwise the old one stays.
	OK      bool            `json:"ok"`
	Version snapshot.Digest `json:"version"` // what serves after the attempt
	Trigger string          `json:"trigger"` // "start", "state-dir", "watch", "poll", "signal"
	// Changed lists what differs from the version before, by name.
	Changed []string `json:"changed,omitempty"`
	Error   string   `json:"error,omitempty"`
	Steps   []Step   `json:"steps"`
}

// Step is one part of a reload and how long it took.
type Step struct {
	Name     string            `json:"name"` // read, validate, compile, publish
	Duration snapshot.Duration `json:"duration"`
}

// Node is an xDS client, connected or lately so.
type Node struct {
	ID        string    `json:"id"`
	UserAgent string    `json:"userAgent"`
	Address   string    `json:"address"`
	Protocol  string    `json:"protocol"` // "delta" or "sotw"
	Connected time.Time `json:"connected"`
	// Disconnected is zero while the stream is up.
	Disconnected time.Time `json:"disconnected,omitzero"`
	// Unknown says that no proxy of the snapshot has this ID: the node gets
	// an empty configuration.
	Unknown bool `json:"unknown,omitempty"`
	// Refused says why the client may not be this node; empty where it may.
	Refused string `json:"refused,omitempty"`
	// Sent and Acked are the snapshot versions last sent whole, and last
	// accepted whole; zero before the first.
	Sent  snapshot.Digest `json:"sent,omitzero"`
	Acked snapshot.Digest `json:"acked,omitzero"`
	// Refusals are kept until a different version of the resource is sent.
	Refusals []Refusal `json:"refusals"`
}

// Refusal is a NACK: a resource that the client would not take.
type Refusal struct {
	Time time.Time `json:"time"`
	Type string    `json:"type"` // "listener", "route", "cluster", "endpoint", "extension"
	// Resource is empty where the client's message names none.
	Resource string `json:"resource,omitempty"`
	Version  string `json:"version"`
	Message  string `json:"message"`
	// Origins are the documents that the resource came from.
	Origins []snapshot.Origin `json:"origins"`
}

// AddReload records an attempt; ready becomes and stays true with the first
// that succeeded.
func (b *Board) AddReload(r Reload) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reloads = append(b.reloads, r)
	if len(b.reloads) > maxReloads {
		b.reloads = slices.Delete(b.reloads, 0, len(b.reloads)-maxReloads)
	}
	b.ready = b.ready || r.OK
	if b.attempts.LastOK = r.OK; r.OK {
		b.attempts.Succeeded++
		b.attempts.LastSuccess = r.Time
	} else {
		b.attempts.Failed++
	}
}

// Attempts counts what AddReload has recorded.
type Attempts struct {
	Succeeded, Failed uint64
	LastOK            bool      // the last one succeeded: what serves is what is written
	LastSuccess       time.Time // zero before the first
}

// Attempts returns how many reloads there were.
func (b *Board) Attempts() Attempts {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.attempts
}

// Reloads returns the remembered attempts, oldest first.
func (b *Board) Reloads() []Reload {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.reloads)
}

// Ready reports whether a whole snapshot serves and the process is to go on.
func (b *Board) Ready() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ready && !b.stopped
}

// Stop says that the process ends: it finishes what it has begun and takes
// nothing new.
func (b *Board) Stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = true
}

// SetDiagnostics records the findings of the last load, as the JSON that
// meshc validate --format json prints.
func (b *Board) SetDiagnostics(json []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.diagnostics = json
}

// Diagnostics returns what SetDiagnostics recorded last; nil before.
func (b *Board) Diagnostics() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.diagnostics
}

// UpdateNode changes the record of one stream, made when it is not there yet.
// key names the stream, not the node: two Envoys may claim one node id.
func (b *Board) UpdateNode(key string, change func(*Node)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.nodes == nil {
		b.nodes = map[string]Node{}
	}
	n := b.nodes[key]
	n.Refusals = slices.Clone(n.Refusals) // readers hold the old slice
	change(&n)
	b.nodes[key] = n
}

// RemoveNode forgets a stream.
func (b *Board) RemoveNode(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.nodes, key)
}

// Nodes returns the known streams, by node id and then time of connection.
func (b *Board) Nodes() []Node {
	b.mu.Lock()
	defer b.mu.Unlock()
	nodes := make([]Node, 0, len(b.nodes))
	for _, n := range b.nodes {
		nodes = append(nodes, n)
	}
	slices.SortFunc(nodes, func(a, c Node) int {
		if a.ID != c.ID {
			if a.ID < c.ID {
				return -1
			}
			return 1
		}
		return a.Connected.Compare(c.Connected)
	})
	return nodes
}
