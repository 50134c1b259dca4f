package status

import (
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	// maxPlugins is how many uses the Board remembers the faults of.
	maxPlugins = 1000
	// maxReasons is how many reasons it tells apart for each.
	maxReasons = 16
	// maxDetail bounds Fault.Detail, in bytes: it may quote a plugin's words.
	maxDetail = 1 << 10
	// otherReason counts what is beyond maxReasons.
	otherReason = "other"
)

// Fault is something that went wrong in a plugin, by no fault of the traffic.
type Fault struct {
	Time time.Time `json:"time"`
	// Reason is one of a few words, such as "trap"; Detail is a sentence.
	Reason string `json:"reason"`
	Detail string `json:"detail"`
	// Restart is when the instance that failed is replaced; zero when it is not.
	Restart time.Time `json:"restart,omitzero"`
}

// Plugin is one use of a plugin that has failed since the process started.
type Plugin struct {
	Kind string `json:"kind"`
	Name string `json:"name"` // MESH/NAME of its document
	// Faults counts them by reason.
	Faults map[string]uint64 `json:"faults"`
	Last   Fault             `json:"last"`
}

// AddFault records a fault in the use called name of a plugin of kind.
func (b *Board) AddFault(kind, name string, f Fault) {
	if len(f.Detail) > maxDetail {
		f.Detail = strings.ToValidUTF8(f.Detail[:maxDetail], "")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	key := kind + "\x00" + name
	p, known := b.plugins[key]
	if !known {
		b.forgetPlugin()
		p = Plugin{Kind: kind, Name: name, Faults: map[string]uint64{}}
	}
	reason := f.Reason
	if _, counted := p.Faults[reason]; !counted && len(p.Faults) >= maxReasons {
		reason = otherReason
	}
	p.Faults[reason]++
	p.Last = f
	if b.plugins == nil {
		b.plugins = map[string]Plugin{}
	}
	b.plugins[key] = p
}

// forgetPlugin makes room for one more; b.mu is held.
func (b *Board) forgetPlugin() {
	if len(b.plugins) < maxPlugins {
		return
	}
	oldest := ""
	for key, p := range b.plugins {
		if oldest == "" || p.Last.Time.Before(b.plugins[oldest].Last.Time) {
			oldest = key
		}
	}
	delete(b.plugins, oldest)
}

// Plugins returns the uses that have failed, by kind and name.
func (b *Board) Plugins() []Plugin {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]Plugin, 0, len(b.plugins))
	for _, key := range slices.Sorted(maps.Keys(b.plugins)) {
		p := b.plugins[key]
		p.Faults = maps.Clone(p.Faults)
		list = append(list, p)
	}
	return list
}
