package sdk

import (
	"math"

	"github.com/meshc/meshc/plugins/wasm/sdk/internal/host"
)

// GetShared returns a value that all plugins with one VM id share, in all
// threads of the host, and the number of its version for SetShared. The error
// is NotFound when there is none.
func GetShared(key string) (value []byte, version uint32, err error) {
	return AppendShared(nil, key)
}

// AppendShared is GetShared that appends the value to dst. Where dst has the
// capacity, nothing is allocated.
func AppendShared(dst []byte, key string) (value []byte, version uint32, err error) {
	v, version, s := host.SharedData(dst, key)
	return v, version, check(s)
}

// SetShared sets a shared value. With a version other than 0 it does so only
// when nobody has set it since: else the error is CASMismatch.
func SetShared(key string, value []byte, version uint32) error {
	return check(host.SetSharedData(key, value, version))
}

// UpdateShared sets a shared value to what change makes of it, and calls change
// again where another thread was faster. change gets nil when there is none
// yet; it may write into the slice that it gets, and return it. A nil result
// leaves the value.
func UpdateShared(key string, change func(value []byte) []byte) error {
	buf := scratch
	scratch = nil // change may update another value
	for {
		value, version, err := AppendShared(buf[:0], key)
		if err == NotFound {
			value, version = nil, neverThere
		} else if err != nil {
			return err
		} else {
			buf = value
		}
		if value = change(value); value == nil {
			return nil
		}
		if err := SetShared(key, value, version); err != CASMismatch {
			scratch = buf
			return err
		}
	}
}

// neverThere is the version that makes a value where there is none. A host takes
// any version then, and 0 even when another thread has made the value meanwhile.
// Versions count from 1, so none comes to this one.
const neverThere = math.MaxUint32

// scratch is kept for the next UpdateShared.
var scratch = make([]byte, 0, 64)

// Queue is a queue of items that plugins share, in all threads of the host.
type Queue uint32

// OpenQueue finds a queue for writing. vmID is the VM id of the plugin that
// reads it; "" is this plugin's own. The error is NotFound when no plugin reads
// it yet.
func OpenQueue(vmID, name string) (Queue, error) {
	token, s := host.ResolveQueue(vmID, name)
	return Queue(token), check(s)
}

// Push puts an item into the queue.
func (q Queue) Push(item []byte) error { return check(host.Enqueue(uint32(q), item)) }

// Counter is a metric that only rises.
type Counter uint32

// Add adds n; 0 adds nothing.
func (c Counter) Add(n uint32) {
	if n > 0 {
		host.IncrementMetric(uint32(c), int64(n))
	}
}

// Value returns its value.
func (c Counter) Value() uint64 { return metricValue(uint32(c)) }

// Gauge is a metric that rises and falls.
type Gauge uint32

// Add adds n, which may be negative.
func (g Gauge) Add(n int64) { host.IncrementMetric(uint32(g), n) }

// Set sets its value.
func (g Gauge) Set(n uint64) { host.RecordMetric(uint32(g), int64(n)) }

// Value returns its value.
func (g Gauge) Value() uint64 { return metricValue(uint32(g)) }

// Histogram is a metric of how values spread.
type Histogram uint32

// Record adds one value.
func (h Histogram) Record(n uint64) { host.RecordMetric(uint32(h), int64(n)) }

func metricValue(id uint32) uint64 {
	v, _ := host.MetricValue(id)
	return v
}
